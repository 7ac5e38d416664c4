import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type * as sharedBuffers from '../../src/runtime/shared-buffers.ts';

/**
 * Memory of this file alone: other files of the same worker have left buffers in use of the one that the service shares,
 * so that there may be none for these tests.
 */
const { copyBytes, giveBack, isInPages, takeBuffer } = await memoryOfItsOwn('own');

const MiB = 1024 * 1024;

async function memoryOfItsOwn(name: string): Promise<typeof sharedBuffers> {
  const specifier: string = `../../src/runtime/shared-buffers.ts?${name}`;
  return (await import(specifier)) as typeof sharedBuffers;
}

/** The address space of this process that is reserved. */
function virtualBytes(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(/^VmSize:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

describe('a buffer', () => {
  test('that was given back is used again, for as many bytes or fewer of its size', () => {
    const first = takeBuffer(MiB);
    giveBack(first);
    expect(takeBuffer(MiB - 1).buffer).toBe(first.buffer);
  });

  test('is given back by any part of it', () => {
    const whole = takeBuffer(2 * MiB);
    giveBack(whole.subarray(MiB, MiB + 1));
    expect(takeBuffer(2 * MiB).buffer).toBe(whole.buffer);
  });

  test('that is given back twice is lent once', () => {
    const buffer = takeBuffer(MiB);
    giveBack(buffer);
    giveBack(buffer);
    expect(takeBuffer(MiB).buffer).not.toBe(takeBuffer(MiB).buffer);
  });

  test('has room for a chunk of a power of two with what is around it', () => {
    const buffer = takeBuffer(MiB + 100, 50);
    expect(buffer.byteLength).toBe(MiB + 100);
    expect(takeBuffer(MiB).buffer.byteLength).toBe(buffer.buffer.byteLength);
  });

  test.each([0, 1, 17, 4096])('lies so that after %d bytes a page begins', (lead) => {
    const buffer = takeBuffer(MiB, lead);
    expect(isInPages(buffer)).toBe(true);
    expect((buffer.byteOffset + lead) % 4096).toBe(0);
    giveBack(buffer);
    expect(isInPages(takeBuffer(1000))).toBe(false);
    expect(isInPages(new Uint8Array(new SharedArrayBuffer(MiB)))).toBe(false);
  });

  test('reserves no more of the address space than it is large', () => {
    const before = virtualBytes();
    const buffers = Array.from({ length: 5 }, () => takeBuffer(MiB + 4096));
    expect(virtualBytes() - before).toBeLessThan(1024 * MiB);
    buffers.forEach(giveBack);
  });

  test.each([0, 1, 1000])('of %d bytes has an ordinary ArrayBuffer of its own', (bytes) => {
    const buffer = takeBuffer(bytes);
    expect(buffer.buffer).toBeInstanceOf(ArrayBuffer);
    expect(buffer.buffer.byteLength).toBe(bytes);
    giveBack(buffer);
  });
});

test('no more than 32 MiB are shared; who comes then gets ordinary memory, until some is given back', () => {
  const taken = Array.from({ length: 40 }, () => takeBuffer(MiB));
  const shared = taken.filter(({ buffer }) => buffer instanceof SharedArrayBuffer);
  expect(shared.length).toBeLessThan(32);
  expect(taken.at(-1)?.buffer).toBeInstanceOf(ArrayBuffer);
  taken.forEach(giveBack);
  expect(takeBuffer(MiB).buffer).toBeInstanceOf(SharedArrayBuffer);
});

test('a size that comes anew has the room of idle ones of other sizes, before V8 has collected them', async () => {
  const memory = await memoryOfItsOwn('sizes');
  const small = Array.from({ length: 31 }, () => memory.takeBuffer(MiB));
  small.forEach(memory.giveBack);
  const large = Array.from({ length: 7 }, () => memory.takeBuffer(4 * MiB));
  expect(large.every(({ buffer }) => buffer instanceof SharedArrayBuffer)).toBe(true);
  large.forEach(memory.giveBack);
  // Back and forth is bounded all the same: what was let go is memory until it is collected.
  const smallAgain = Array.from({ length: 31 }, () => memory.takeBuffer(MiB));
  expect(
    smallAgain.filter(({ buffer }) => buffer instanceof SharedArrayBuffer).length,
  ).toBeLessThan(12);
  // Held until here, so that none was collected meanwhile.
  expect(small).toHaveLength(31);
});

test('buffers that nobody takes for a while are let go', async () => {
  vi.useFakeTimers();
  try {
    const memory = await memoryOfItsOwn('rest');
    const buffer = memory.takeBuffer(MiB);
    memory.giveBack(buffer);
    const again = memory.takeBuffer(MiB);
    expect(again.buffer).toBe(buffer.buffer);
    memory.giveBack(again);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(memory.takeBuffer(MiB).buffer).not.toBe(buffer.buffer);
  } finally {
    vi.useRealTimers();
  }
});

test('what is let go at rest has a bound, before V8 has collected it', async () => {
  vi.useFakeTimers();
  try {
    const memory = await memoryOfItsOwn('rests');
    // Held, so that none is collected.
    const seen = new Set<ArrayBufferLike>();
    for (let upload = 0; upload < 100; upload += 1) {
      const buffer = memory.takeBuffer(MiB);
      seen.add(buffer.buffer);
      memory.giveBack(buffer);
      await vi.advanceTimersByTimeAsync(20_000);
    }
    expect(seen.size).toBeLessThan(34);
  } finally {
    vi.useRealTimers();
  }
});

test('bytes are copied as they are, from anywhere to anywhere', () => {
  const part = fc.uint8Array({ maxLength: 100 });
  fc.assert(
    fc.property(
      part,
      part,
      part,
      fc.nat(100),
      fc.boolean(),
      (before, bytes, after, at, isShared) => {
        const source = Buffer.concat([before, bytes, after]);
        const target = new Uint8Array(isShared ? new SharedArrayBuffer(300) : new ArrayBuffer(300));
        copyBytes(source, before.length, before.length + bytes.length, target, at);
        expect(target.slice(at, at + bytes.length)).toEqual(bytes);
        expect(target.every((byte, i) => byte === 0 || (i >= at && i < at + bytes.length))).toBe(
          true,
        );
      },
    ),
  );
});
