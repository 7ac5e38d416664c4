import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Batch } from '../../src/database/batch.ts';
import { BatchedRead } from '../../src/database/batched-read.ts';

/** A batch whose work is done when the test says so. */
function heldBatch(maxItems = 100) {
  const begun: { readonly items: readonly number[]; readonly end: () => void }[] = [];
  const batch = new Batch<number, number>(async (items) => {
    const held = Promise.withResolvers<void>();
    begun.push({ items, end: held.resolve });
    await held.promise;
    return items.map((item) => item * 10);
  }, maxItems);
  const end = async (i: number): Promise<void> => {
    await expect.poll(() => begun.length).toBeGreaterThan(i);
    begun[i]!.end();
  };
  return { batch, begun, end };
}

test('what is asked for while a batch is under way makes up the next one', async () => {
  const { batch, begun, end } = heldBatch();
  const first = batch.add(1);
  await expect.poll(() => begun.length).toBe(1);
  const others = [batch.add(2), batch.add(3)];
  await end(0);
  expect(await first).toBe(10);
  await end(1);
  expect(await Promise.all(others)).toEqual([20, 30]);
  expect(begun.map(({ items }) => items)).toEqual([[1], [2, 3]]);
});

test('a batch holds no more than it may', async () => {
  const { batch, begun, end } = heldBatch(2);
  const all = [1, 2, 3].map((item) => batch.add(item));
  await end(0);
  await end(1);
  expect(await Promise.all(all)).toEqual([10, 20, 30]);
  expect(begun.map(({ items }) => items)).toEqual([[1, 2], [3]]);
});

test('a batch that takes long is not waited for by those that come after it', async () => {
  const { batch, begun, end } = heldBatch();
  const stuck = batch.add(1);
  await expect.poll(() => begun.length).toBe(1);
  const next = batch.add(2);
  await end(1);
  expect(await next).toBe(20);
  await end(0);
  expect(await stuck).toBe(10);
});

test('what is wrong with one of a batch does not fail the others', async () => {
  const tries: (readonly number[])[] = [];
  const batch = new Batch<number, number>((items) => {
    tries.push(items);
    return items.includes(13)
      ? Promise.reject(new Error('13 is refused'))
      : Promise.resolve(items.map((item) => item * 10));
  }, 100);
  const outcomes = await Promise.allSettled([1, 13, 2].map((item) => batch.add(item)));
  expect(outcomes).toMatchObject([
    { status: 'fulfilled', value: 10 },
    { status: 'rejected', reason: { message: '13 is refused' } },
    { status: 'fulfilled', value: 20 },
  ]);
  expect(tries).toEqual([[1, 13, 2], [1], [13], [2]]);
});

test('a database that is away fails all of a batch at once: whether it was done is not known', async () => {
  let tries = 0;
  const batch = new Batch<number, number>(() => {
    tries += 1;
    return Promise.reject(new Error('Connection terminated unexpectedly'));
  }, 100);
  const outcomes = await Promise.allSettled([1, 2].map((item) => batch.add(item)));
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(tries).toBe(1);
});

test('a key is read once for all who ask at the same time, and anew for who asks while it is read', async () => {
  const reads: (readonly string[])[] = [];
  const read = new BatchedRead<string, number>(async (keys) => {
    reads.push(keys);
    await delay(1);
    return new Map(keys.map((key) => [key, reads.length]));
  }, 100);
  const together = [read.read('a'), read.read('a'), read.read('b')];
  await expect.poll(() => reads.length).toBe(1);
  const later = read.read('a');
  expect(await Promise.all(together)).toEqual([1, 1, 1]);
  expect(await later).toBe(2);
  expect(reads).toEqual([['a', 'b'], ['a']]);
});
