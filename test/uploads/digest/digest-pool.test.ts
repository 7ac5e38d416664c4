import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { describe, expect, test, vi } from 'vitest';
import type { DigestPool } from '../../../src/uploads/digest/digest-pool.ts';
import { darkroomErrorOf } from '../../storage/blob-store-contract.ts';
import { sha256 } from '../../support/upload-world.ts';
import { digestsOf, emptySha256, openPool, received } from './digest-fixtures.ts';

const MiB = 1024 * 1024;

/** The threads that were sent what `isMeant`, while `run` did something, each once. */
async function threadsOf(
  run: () => unknown,
  isMeant: (kind: string) => boolean = () => true,
): Promise<Worker[]> {
  const post = vi.spyOn(Worker.prototype, 'postMessage');
  try {
    await run();
    const contexts = post.mock.contexts.filter((_, call) =>
      isMeant(post.mock.calls[call]?.[0].kind),
    );
    return [...new Set(contexts)].filter((context) => context instanceof Worker);
  } finally {
    post.mockRestore();
  }
}

test('threads that start at the same time do not get in each other’s way', async () => {
  const pool = openPool(8);
  const streams = Array.from({ length: 8 }, () => pool.open());
  expect(await Promise.all(streams.map((stream) => stream.result()))).toEqual(
    streams.map(() => digestsOf(emptySha256)),
  );
});

test('a pool starts no more threads than it may, and ends them all when it closes', async () => {
  const pool = openPool(2);
  const workers = await threadsOf(
    async () => {
      const streams = Array.from({ length: 5 }, () => pool.open());
      const results = await Promise.all(streams.map((stream) => stream.result()));
      expect(results).toEqual(Array(5).fill(digestsOf(emptySha256)));
      // Pools of earlier tests may just be saying goodbye to theirs.
    },
    (kind) => kind === 'result',
  );
  expect(workers).toHaveLength(2);

  await pool.close();
  // A worker that has ended has no thread any more.
  expect(workers.map(({ threadId }) => threadId)).toEqual([-1, -1]);
});

describe('a digest of bytes that come faster than they can be digested', () => {
  test('has a bounded number of them on the way, over all streams of a thread', async () => {
    const pool = openPool();
    const streams = [pool.open(), pool.open(), pool.open(), pool.open()];
    let taken = 0;
    const updates = Array.from({ length: 64 }, async (_, i) => {
      await streams[i % 4]!.update(new Uint8Array(MiB));
      taken += 1;
    });
    // No answer of the thread can have come within the same turn of the event loop.
    await Promise.resolve().then(() => Promise.resolve());
    expect(taken).toBe(16);
    await Promise.all(updates);
    expect(taken).toBe(64);
    const expected = sha256(Buffer.alloc(16 * MiB));
    expect(await Promise.all(streams.map((stream) => stream.result()))).toEqual(
      streams.map(() => digestsOf(expected)),
    );
    expect(streams.map((stream) => stream.bytesInFlight)).toEqual([0, 0, 0, 0]);
  });

  test('is of all of them, in order, also when the result is asked for at once', async () => {
    const data = randomBytes(40 * MiB + 12_345);
    const stream = openPool().open();
    for (let offset = 0; offset < data.length; offset += 777_777) {
      void stream.update(received(data.subarray(offset, offset + 777_777)));
    }
    expect(await stream.result()).toEqual(digestsOf(sha256(data)));
    await stream.update(received(Buffer.from('more')));
    expect(await stream.result()).toEqual(
      digestsOf(sha256(Buffer.concat([data, Buffer.from('more')]))),
    );
  });

  test('takes a chunk that is larger than the bound', async () => {
    const stream = openPool().open();
    await stream.update(new Uint8Array(20 * MiB));
    await stream.update(new Uint8Array(20 * MiB));
    expect(await stream.result()).toEqual(digestsOf(sha256(Buffer.alloc(40 * MiB))));
  });

  test('gives the room of a closed one to the others', async () => {
    const pool = openPool();
    const [closed, other] = [pool.open(), pool.open()];
    const updates = Array.from({ length: 32 }, () => closed.update(new Uint8Array(MiB)));
    const mine = other.update(new Uint8Array(MiB));
    closed.close();
    closed.close();
    const settled = await Promise.allSettled(updates);
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(16);
    await mine;
    expect(await other.result()).toEqual(digestsOf(sha256(Buffer.alloc(MiB))));
    await expect(closed.result()).rejects.toThrow('closed');
    await expect(closed.update(new Uint8Array(1))).rejects.toThrow('closed');
  });
});

test('bytes that share their buffer with others are copied, not taken away', async () => {
  const stream = openPool().open();
  const large = new Uint8Array(4 * MiB).fill(7);
  await stream.update(large.subarray(MiB, 2 * MiB));
  expect([large.byteLength, large[0], large.at(-1)]).toEqual([4 * MiB, 7, 7]);
  expect(await stream.result()).toEqual(digestsOf(sha256(Buffer.alloc(MiB, 7))));
  const own = new Uint8Array(MiB);
  await stream.update(own);
  expect(own.byteLength).toBe(0);
});

describe('when its thread', () => {
  test.each<[string, (pool: DigestPool, thread: Worker) => Promise<unknown>]>([
    ['dies', (_, thread) => thread.terminate()],
    ['ends with its pool', (pool) => pool.close()],
  ])('%s a digest fails with a DarkroomError, and new ones work', async (_, end) => {
    const pool = openPool();
    const [stream, idle] = [pool.open(), pool.open()];
    const [thread] = await threadsOf(() => stream.update(new Uint8Array(MiB)));
    const asked = darkroomErrorOf(stream.result());
    await end(pool, thread!);
    const failures = [
      asked,
      darkroomErrorOf(stream.result()),
      darkroomErrorOf(stream.update(received(randomBytes(1)))),
      darkroomErrorOf(idle.result()),
      darkroomErrorOf(idle.update(received(randomBytes(1)))),
    ];
    for (const error of await Promise.all(failures)) {
      expect(error).toMatchObject({ reason: 'INTERNAL' });
      expect(error.message).toContain('died');
    }
    expect([stream.isLost, idle.isLost]).toEqual([true, true]);
    idle.close();

    const data = randomBytes(1000);
    const next = pool.open();
    void next.update(received(data));
    expect(await next.result()).toEqual(digestsOf(sha256(data)));
  });

  test('dies, whoever waits for a digest is told', async () => {
    const stream = openPool().open();
    const waiting: Promise<unknown>[] = [];
    const [thread] = await threadsOf(() => {
      void stream.update(new Uint8Array(64 * MiB));
      waiting.push(darkroomErrorOf(stream.update(received(randomBytes(1)))));
      waiting.push(darkroomErrorOf(stream.result()));
    });
    await thread!.terminate();
    for (const error of await Promise.all(waiting)) {
      expect(error).toMatchObject({ reason: 'INTERNAL' });
    }
  });
});
