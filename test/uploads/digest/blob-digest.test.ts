import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { roomyFolder } from '../../../src/database/embedded-postgres/throwaway.ts';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { newId, type SegmentId } from '../../../src/records/ids.ts';
import { BlobReader } from '../../../src/storage/blob-reader.ts';
import { FileBlobStore } from '../../../src/storage/file-blob-store.ts';
import { BlobDigest } from '../../../src/uploads/digest/blob-digest.ts';
import { darkroomErrorOf, writing } from '../../storage/blob-store-contract.ts';
import { sha256 } from '../../support/upload-world.ts';
import { digestsOf, emptySha256, openPool, received } from './digest-fixtures.ts';

const MiB = 1024 * 1024;

/** A reader of a blob that is one segment with these bytes. */
async function readerOf(data: Uint8Array): Promise<BlobReader> {
  const folder = await mkdtemp(join(await roomyFolder(), 'darkroom-digest-'));
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

test('a digest that keeps up is the sha256 of the bytes', async () => {
  const data = randomBytes(3 * MiB + 17);
  const digest = new BlobDigest(openPool().open(), memoryReader(data), 0, 0);
  for (let at = 0; at < data.length; at += 100_000) {
    await digest.take(at, received(data.subarray(at, at + 100_000)));
  }
  expect(await digest.result()).toEqual(digestsOf(sha256(data)));
  expect(digest.digested).toBe(data.length);
});

test('a digest can be asked for more than once while the bytes go on', async () => {
  const data = randomBytes(200_000);
  const digest = new BlobDigest(openPool().open(), memoryReader(data), 0, 0);
  await digest.take(0, received(data.subarray(0, 150_000)));
  expect(await digest.result()).toEqual(digestsOf(sha256(data.subarray(0, 150_000))));
  await digest.take(150_000, received(data.subarray(150_000)));
  expect(await digest.result()).toEqual(digestsOf(sha256(data)));
});

test('the digest of no bytes is the sha256 of no bytes', async () => {
  const digest = new BlobDigest(openPool().open(), memoryReader(new Uint8Array()), 0, 0);
  expect(await digest.result()).toEqual(digestsOf(emptySha256));
});

test('after a restart a digest catches up from the store while more bytes come', async () => {
  const data = randomBytes(5 * MiB + 3);
  const stored = 4 * MiB;
  const digest = new BlobDigest(openPool().open(), await readerOf(data), 0, stored);
  for (let at = stored; at < data.length; at += 100_000) {
    await digest.take(at, received(data.subarray(at, at + 100_000)));
  }
  expect(await digest.result()).toEqual(digestsOf(sha256(data)));
});

test('a digest reads the holes that it is told of', async () => {
  const data = Buffer.concat([randomBytes(5000), Buffer.alloc(2 * MiB), randomBytes(5000)]);
  const digest = new BlobDigest(openPool().open(), await readerOf(data), 0, 0);
  await digest.take(0, received(data.subarray(0, 5000)));
  digest.follow(2 * MiB + 5000);
  await digest.take(2 * MiB + 5000, received(data.subarray(2 * MiB + 5000)));
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
    queueMicrotask(() => came.resolve(digest.take(1000, received(data.subarray(1000)))));
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

test('of several reads at a time each is digested in its place, whichever ends first', async () => {
  const data = randomBytes(25 * MiB);
  let asked = 0;
  const second = Promise.withResolvers<void>();
  const reader = memoryReader(data, async () => {
    asked += 1;
    if (asked === 1) {
      // The second is asked for while this one is under way.
      await second.promise;
    } else {
      second.resolve();
    }
  });
  const digest = new BlobDigest(openPool().open(), reader, 0, data.length);
  expect(await digest.result()).toEqual(digestsOf(sha256(data)));
});

test('a read that fails loses nothing of what was read before or beside it', async () => {
  const data = randomBytes(25 * MiB);
  let asked = 0;
  const reader = memoryReader(data, async () => {
    asked += 1;
    if (asked === 2) {
      throw new DarkroomError('STORAGE_UNAVAILABLE', 'by the test');
    }
  });
  const digest = new BlobDigest(openPool().open(), reader, 0, data.length);
  expect(await digest.result()).toEqual(digestsOf(sha256(data)));
  // Seven units, the one that failed, and the one that was read beside it, if it was.
  expect(asked).toBeLessThanOrEqual(9);
});

test('a taker waits while too many bytes are on their way to the thread', async () => {
  const data = new Uint8Array(16 * MiB).fill(3);
  const stream = openPool().open();
  const digest = new BlobDigest(stream, memoryReader(data), 0, 0);
  let most = 0;
  for (let turn = 0; turn < 6; turn++) {
    await digest.take(turn * data.length, received(data));
    most = Math.max(most, stream.bytesInFlight);
  }
  expect(most).toBeLessThan(32 * MiB);
  await digest.result();
  expect(stream.bytesInFlight).toBe(0);
});
