import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { newId, type BlobId } from '../../../src/records/ids.ts';
import { ParkedDigests } from '../../../src/uploads/digest/blob-digest.ts';
import type { DigestStream } from '../../../src/uploads/digest/digest-stream.ts';
import { sha256 } from '../../support/upload-world.ts';
import { digestsOf, emptySha256, openPool, received } from './digest-fixtures.ts';

/** Whether a digest was closed: it will answer nothing more. */
function isClosed(stream: DigestStream): Promise<boolean> {
  return stream.result().then(
    () => false,
    (error: unknown) => String(error).includes('closed'),
  );
}

test('a parked digest is gone on with where it was', async () => {
  const data = randomBytes(300_000);
  const parked = new ParkedDigests(openPool());
  const blobId = newId<BlobId>();
  const first = parked.take(blobId, 0);
  void first.stream.update(received(data.subarray(0, 100_000)));
  parked.park(blobId, first.stream, 100_000, 100_000);

  const { stream, position } = parked.take(blobId, 200_000);
  expect(position).toBe(100_000);
  void stream.update(received(data.subarray(position)));
  expect(await stream.result()).toEqual(digestsOf(sha256(data)));
});

test('a digest is parked and taken only of bytes that are committed, and closed if not', async () => {
  const parked = new ParkedDigests(openPool());
  const blobId = newId<BlobId>();
  for (const [committedThen, committedNow] of [
    [99, 100],
    [100, 99],
  ] as const) {
    const { stream } = parked.take(blobId, 0);
    void stream.update(received(randomBytes(100)));
    parked.park(blobId, stream, 100, committedThen);
    const next = parked.take(blobId, committedNow);
    expect(next.position).toBe(0);
    expect(await next.stream.result()).toEqual(digestsOf(emptySha256));
    expect(await isClosed(stream)).toBe(true);
  }
});

test('a digest is parked for one taker only', () => {
  const parked = new ParkedDigests(openPool());
  const blobId = newId<BlobId>();
  const { stream } = parked.take(blobId, 0);
  void stream.update(received(randomBytes(100)));
  parked.park(blobId, stream, 100, 100);
  expect(parked.take(blobId, 100)).toEqual({ stream, position: 100 });
  expect(parked.take(blobId, 100).position).toBe(0);
});

test('of two digests of a blob the one that is further is kept', async () => {
  const pool = openPool();
  const parked = new ParkedDigests(pool);
  const blobId = newId<BlobId>();
  const [far, near] = [pool.open(), pool.open()];
  parked.park(blobId, far, 100, 100);
  parked.park(blobId, near, 50, 100);
  expect(await isClosed(near)).toBe(true);
  expect(parked.take(blobId, 100).stream).toBe(far);
});

test('the oldest digests go when there are many', async () => {
  const pool = openPool();
  const parked = new ParkedDigests(pool);
  const streams = Array.from({ length: 300 }, () => pool.open());
  for (const stream of streams) {
    parked.park(newId<BlobId>(), stream, 1, 1);
  }
  const closed = await Promise.all(streams.map(isClosed));
  expect(closed).toEqual(streams.map((_, index) => index < 300 - 256));
});

test('a digest whose thread died is not parked, and a parked one is not taken', async () => {
  const pool = openPool();
  const parked = new ParkedDigests(pool);
  const [early, late] = [newId<BlobId>(), newId<BlobId>()];
  const { stream } = parked.take(early, 0);
  void stream.update(received(randomBytes(100_000)));
  parked.park(early, stream, 100_000, 100_000);
  const { stream: lost } = parked.take(late, 0);
  void lost.update(received(randomBytes(100_000)));
  await pool.close();
  parked.park(late, lost, 100_000, 100_000);
  for (const blobId of [early, late]) {
    const next = parked.take(blobId, 100_000);
    expect(next.position).toBe(0);
    expect(await next.stream.result()).toEqual(digestsOf(emptySha256));
  }
});
