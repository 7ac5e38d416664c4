import { expect, test } from 'vitest';
import { memoryMapOf } from '../../bench/stage/memory-map.ts';
import { memoryOf } from '../../bench/stage/process-usage.ts';

const MiB = 1024 * 1024;

test('all that a process holds is found, by who asked for it', async () => {
  const before = await memoryMapOf(process.pid);
  // Too large for malloc to take them from what it keeps: each is mapped, or lies in the heap of V8. Meanwhile some of what
  // was there before may have been given back.
  const held = Array.from({ length: 4 }, () => Buffer.alloc(64 * MiB, 1));
  const after = await memoryMapOf(process.pid);
  const { resident } = await memoryOf(process.pid);
  expect(held).toHaveLength(4);
  expect(after.files + after.malloc + after.anonymous).toBeGreaterThan(0.9 * resident);
  expect(after.files + after.malloc + after.anonymous).toBeLessThan(1.1 * resident);
  expect(after.anonymous - before.anonymous).toBeGreaterThan(128 * MiB);
  expect(Math.min(after.files, after.malloc)).toBeGreaterThan(MiB);
});
