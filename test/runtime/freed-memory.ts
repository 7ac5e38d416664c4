import { setTimeout as sleep } from 'node:timers/promises';
import { giveBackFreedMemory } from '../../src/runtime/malloc-memory.ts';

/**
 * A process of its own, that frees much memory which small pieces in use keep from being given back, and tells its parent how
 * much it holds before and since.
 */

const MiB = 1024 * 1024;
const pieceBytes = 32 * 1024;
const pieces = 8000;

const resident = (): number => process.memoryUsage.rss() / MiB;
const collect = (globalThis as { gc?: (options: { execution: 'async' }) => Promise<void> }).gc;

/** Every hundredth is small, and stays. */
function work(): Buffer[] {
  const all = Array.from({ length: pieces }, (_, i) =>
    Buffer.allocUnsafeSlow(i % 100 === 99 ? 100 : pieceBytes).fill(1),
  );
  return all.filter(({ byteLength }) => byteLength < pieceBytes);
}

const kept = work();
await collect?.({ execution: 'async' });
// What V8 frees is freed on a thread of its own.
while (process.memoryUsage().arrayBuffers > 8 * MiB) {
  await sleep(10);
}
const before = resident();
const enoughBytes = process.argv.includes('--enough') ? 1024 * MiB : 0;
giveBackFreedMemory({ intervalMs: 10, patienceMs: 10, enoughBytes, worthwhileBytes: MiB });
const timer = setInterval(() => process.send?.({ before, now: resident(), kept: kept.length }), 20);
process.once('disconnect', () => clearInterval(timer));
