import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test, vi } from 'vitest';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { newId, type BlobId, type SegmentId } from '../../../src/records/ids.ts';
import { BlobReader } from '../../../src/storage/blob-reader.ts';
import { FileBlobStore } from '../../../src/storage/file-blob-store.ts';
import { BlobDigest, ParkedDigests } from '../../../src/uploads/digest/blob-digest.ts';
import { DigestPool } from '../../../src/uploads/digest/digest-pool.ts';
import type { DigestStream } from '../../../src/uploads/digest/digest-stream.ts';
import { darkroomErrorOf, writing } from '../../storage/blob-store-contract.ts';
import { digestsOf } from '../digests-of.ts';

const MiB = 1024 * 1024;
const emptySha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

function openPool(size = 1): DigestPool {
  const pool = new DigestPool(size);
  onTestFinished(() => pool.close());
  return pool;
}

/** A copy, as of bytes from the network: the digest may move its buffer away. */
function bytes(data: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(data);
}

/** A reader of a blob that is one segment with these bytes. */
async function readerOf(data: Uint8Array): Promise<BlobReader> {
  const folder = await mkdtemp(join(tmpdir(), 'darkroom-digest-'));
  const store = await FileBlobStore.open(folder);
  const id = newId<SegmentId>();
  await writing(store, id, 0, (writer) => writer.append(data));
  const reader = new BlobReader(store, [{ id, startOffset: 0, length: data.length }]);
  onTestFinished(async () => {
    await reader.close();
    await rm(folder, { recursive: true, force: true });
  });
  return reader;
}

/** A reader of bytes in memory; `beforeRead` may fail or take its time. */
function memoryReader(data: Uint8Array, beforeRead = async (): Promise<void> => {}): BlobReader {
  const reader = new BlobReader(undefined as never, []);
  vi.spyOn(reader, 'read').mockImplementation(async (offset, target) => {
    await beforeRead();
    target.set(data.subarray(offset, offset + target.byteLength));
  });
  return reader;
}

/** The threads among the objects that a spied method was called on, each once. */
function threadsOf(contexts: readonly unknown[]): Worker[] {
  return [...new Set(contexts)].filter((context) => context instanceof Worker);
}

/** Ends the one thread on which the digest that is opened runs, as if it had crashed. */
async function killThreadOf(open: () => DigestStream): Promise<DigestStream> {
  const post = vi.spyOn(Worker.prototype, 'postMessage');
  const stream = open();
  stream.update(bytes(randomBytes(1))).catch(() => {});
  const [worker] = threadsOf(post.mock.contexts);
  post.mockRestore();
  await worker!.terminate();
  return stream;
}

test('a digest that keeps up is the sha256 of the bytes', async () => {
  const data = randomBytes(3 * MiB + 17);
  const digest = new BlobDigest(openPool().open(), memoryReader(data), 0, 0);
  for (let at = 0; at < data.length; at += 100_000) {
    await digest.take(at, bytes(data.subarray(at, at + 100_000)));
  }
  expect(await digest.result()).toEqual(digestsOf(sha256(data)));
  expect(digest.digested).toBe(data.length);
});

test('a digest can be asked for more than once while the bytes go on', async () => {
  const data = randomBytes(200_000);
  const digest = new BlobDigest(openPool().open(), memoryReader(data), 0, 0);
  await digest.take(0, bytes(data.subarray(0, 150_000)));
  expect(await digest.result()).toEqual(digestsOf(sha256(data.subarray(0, 150_000))));
  await digest.take(150_000, bytes(data.subarray(150_000)));
  expect(await digest.result()).toEqual(digestsOf(sha256(data)));
});

test('the digest of no bytes is the sha256 of no bytes', async () => {
  const digest = new BlobDigest(openPool().open(), memoryReader(new Uint8Array()), 0, 0);
  expect(await digest.result()).toEqual(digestsOf(emptySha256));
});

test('a small view of a large buffer leaves the rest of the buffer usable', async () => {
  const stream = openPool().open();
  const large = bytes(randomBytes(4 * MiB));
  void stream.update(large.subarray(MiB, MiB + 200_000));
  expect(large.byteLength).toBe(4 * MiB);
  expect(await stream.result()).toEqual(digestsOf(sha256(large.subarray(MiB, MiB + 200_000))));
});

test('after a restart a digest catches up from the store while more bytes come', async () => {
  const data = randomBytes(5 * MiB + 3);
  const stored = 4 * MiB;
  const digest = new BlobDigest(openPool().open(), await readerOf(data), 0, stored);
  for (let at = stored; at < data.length; at += 100_000) {
    await digest.take(at, bytes(data.subarray(at, at + 100_000)));
  }
  expect(await digest.result()).toEqual(digestsOf(sha256(data)));
});

test('a digest reads the holes that it is told of', async () => {
  const data = Buffer.concat([randomBytes(5000), Buffer.alloc(2 * MiB), randomBytes(5000)]);
  const digest = new BlobDigest(openPool().open(), await readerOf(data), 0, 0);
  await digest.take(0, bytes(data.subarray(0, 5000)));
  digest.follow(2 * MiB + 5000);
  await digest.take(2 * MiB + 5000, bytes(data.subarray(2 * MiB + 5000)));
  expect(await digest.result()).toEqual(digestsOf(sha256(data)));
});

test('bytes that come in just when a digest has caught up are not left out', async () => {
  const data = randomBytes(3000);
  const stream = openPool().open();
  const digest = new BlobDigest(stream, memoryReader(data), 0, 1000);
  const update = stream.update.bind(stream);
  const came = Promise.withResolvers<void>();
  stream.update = (part) => {
    // Between the last look at what is stored and the end of the catching up.
    queueMicrotask(() => came.resolve(digest.take(1000, bytes(data.subarray(1000)))));
    stream.update = update;
    return update(part);
  };
  await came.promise;
  expect(await digest.result()).toEqual(digestsOf(sha256(data)));
});

test('a digest that cannot read the store says why, each time, until it can', async () => {
  const data = randomBytes(10);
  let isLost = true;
  const reader = memoryReader(data, async () => {
    if (isLost) {
      throw new DarkroomError('STORED_BYTES_LOST', 'by the test');
    }
  });
  const digest = new BlobDigest(openPool().open(), reader, 0, 10);
  for (let turn = 0; turn < 2; turn++) {
    expect(await darkroomErrorOf(digest.result())).toMatchObject({ reason: 'STORED_BYTES_LOST' });
    digest.follow(10);
  }
  isLost = false;
  expect(await digest.result()).toEqual(digestsOf(sha256(data)));
});

test('a released digest reads no more, and what it had is gone on with', async () => {
  const data = randomBytes(4 * MiB);
  const asked = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const slow = memoryReader(data, () => {
    asked.resolve();
    return gate.promise;
  });
  const digest = new BlobDigest(openPool().open(), slow, 0, data.length);
  await asked.promise;
  const released = digest.release();
  gate.resolve();
  const { stream, position } = await released;
  // What was being read when it was released is not counted, and is read again.
  expect(position).toBe(0);
  const next = new BlobDigest(stream, memoryReader(data), position, data.length);
  expect(await next.result()).toEqual(digestsOf(sha256(data)));
});

test('a taker waits while too many bytes are on their way to the thread', async () => {
  const data = new Uint8Array(16 * MiB).fill(3);
  const stream = openPool().open();
  const digest = new BlobDigest(stream, memoryReader(data), 0, 0);
  let most = 0;
  for (let turn = 0; turn < 6; turn++) {
    await digest.take(turn * data.length, bytes(data));
    most = Math.max(most, stream.bytesInFlight);
  }
  expect(most).toBeLessThan(32 * MiB);
  await digest.result();
  expect(stream.bytesInFlight).toBe(0);
});

test('a parked digest is gone on with where it was', async () => {
  const data = randomBytes(300_000);
  const parked = new ParkedDigests(openPool());
  const blobId = newId<BlobId>();
  const first = parked.take(blobId, 0);
  void first.stream.update(bytes(data.subarray(0, 100_000)));
  parked.park(blobId, first.stream, 100_000, 100_000);

  const { stream, position } = parked.take(blobId, 200_000);
  expect(position).toBe(100_000);
  void stream.update(bytes(data.subarray(position)));
  expect(await stream.result()).toEqual(digestsOf(sha256(data)));
});

test('a digest is parked and taken only of bytes that are committed', async () => {
  const parked = new ParkedDigests(openPool());
  const blobId = newId<BlobId>();
  for (const [committedThen, committedNow] of [
    [99, 100],
    [100, 99],
  ] as const) {
    const { stream } = parked.take(blobId, 0);
    void stream.update(bytes(randomBytes(100)));
    parked.park(blobId, stream, 100, committedThen);
    const next = parked.take(blobId, committedNow);
    expect(next.position).toBe(0);
    expect(await next.stream.result()).toEqual(digestsOf(emptySha256));
  }
});

test('a digest is parked for one taker only', () => {
  const parked = new ParkedDigests(openPool());
  const blobId = newId<BlobId>();
  const { stream } = parked.take(blobId, 0);
  void stream.update(bytes(randomBytes(100)));
  parked.park(blobId, stream, 100, 100);
  expect(parked.take(blobId, 100).position).toBe(100);
  expect(parked.take(blobId, 100).position).toBe(0);
});

test('when its thread dies a digest fails with a DarkroomError, and new ones work', async () => {
  const pool = openPool();
  const stream = await killThreadOf(() => pool.open());
  expect(await darkroomErrorOf(stream.result())).toMatchObject({ reason: 'INTERNAL' });
  expect(await darkroomErrorOf(stream.update(bytes(randomBytes(1))))).toMatchObject({
    reason: 'INTERNAL',
  });

  const data = randomBytes(1000);
  const next = pool.open();
  void next.update(bytes(data));
  expect(await next.result()).toEqual(digestsOf(sha256(data)));
});

test('when its thread dies, whoever waits for a digest is told', async () => {
  const pool = openPool();
  const results: Promise<unknown>[] = [];
  await killThreadOf(() => {
    const stream = pool.open();
    void stream.update(bytes(new Uint8Array(64 * MiB)));
    results.push(darkroomErrorOf(stream.update(bytes(randomBytes(1)))));
    results.push(darkroomErrorOf(stream.result()));
    return stream;
  });
  for (const error of await Promise.all(results)) {
    expect(error).toMatchObject({ reason: 'INTERNAL' });
  }
});

test('a digest whose thread died is not parked, and a parked one is not taken', async () => {
  const pool = openPool();
  const parked = new ParkedDigests(pool);
  const [early, late] = [newId<BlobId>(), newId<BlobId>()];
  const lost = await killThreadOf(() => {
    const { stream } = parked.take(early, 0);
    void stream.update(bytes(randomBytes(100)));
    parked.park(early, stream, 100, 100);
    return parked.take(late, 0).stream;
  });
  parked.park(late, lost, 1, 1);
  for (const blobId of [early, late]) {
    const { stream, position } = parked.take(blobId, 100);
    expect(position).toBe(0);
    expect(await stream.result()).toEqual(digestsOf(emptySha256));
  }
});

test('a pool starts no more threads than it may, and ends them all when it closes', async () => {
  const started = vi.spyOn(Worker.prototype, 'postMessage');
  const pool = openPool(2);
  const streams = Array.from({ length: 5 }, () => pool.open());
  const results = streams.map((stream) => stream.result());
  expect(await Promise.all(results)).toEqual(Array(5).fill(digestsOf(emptySha256)));
  // Pools of earlier tests may just be saying goodbye to theirs.
  const asked = started.mock.contexts.filter(
    (_, call) => started.mock.calls[call]?.[0].kind === 'result',
  );
  const workers = threadsOf(asked);
  started.mockRestore();
  expect(workers).toHaveLength(2);

  await pool.close();
  // A worker that has ended has no thread any more.
  expect(workers.map(({ threadId }) => threadId)).toEqual([-1, -1]);
});
