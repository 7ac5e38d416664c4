import { fork } from 'node:child_process';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';

/** What the process says of itself, in MiB. */
interface Held {
  readonly before: number;
  readonly now: number;
}

/** Of another libc there is nothing to be had back. */
const hasGlibc = 'glibcVersionRuntime' in (process.report.getReport() as { header: object }).header;

/** Calls back with what a process holds that has freed nearly all of 250 MiB. */
function startFreeing(args: readonly string[], onHeld: (held: Held) => void): void {
  const child = fork(new URL('freed-memory.ts', import.meta.url), args, {
    execArgv: ['--expose-gc'],
  });
  onTestFinished(async () => {
    const exited = once(child, 'exit');
    child.disconnect();
    // Nothing of it keeps a process alive.
    expect(await exited).toEqual([0, null]);
  });
  child.on('message', onHeld);
}

test.runIf(hasGlibc)(
  'memory that was freed is given back, though some above it is in use',
  async () => {
    let last: Held | undefined;
    startFreeing([], (held) => {
      last = held;
    });
    await expect.poll(() => last?.now, { timeout: 20_000 }).toBeLessThan(120);
    expect(last?.before).toBeGreaterThan(220);
  },
);

test.runIf(hasGlibc)('a process that holds little is left alone', async () => {
  const seen: Held[] = [];
  startFreeing(['--enough'], (held) => seen.push(held));
  await expect.poll(() => seen.length, { timeout: 20_000 }).toBeGreaterThan(25);
  expect(seen.every(({ now }) => now > 220)).toBe(true);
});
