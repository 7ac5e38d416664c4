import { randomBytes } from 'node:crypto';
import { describe, expect, onTestFinished, test } from 'vitest';
import { defaultCaller } from '../../../src/access/caller.ts';
import { newId, type BlobId } from '../../../src/records/ids.ts';
import type { BlobStore, SegmentReader } from '../../../src/storage/blob-store.ts';
import { alteredStore } from '../../storage/altered-store.ts';
import { ParkedDigests } from '../../../src/uploads/digest/blob-digest.ts';
import { DigestPool } from '../../../src/uploads/digest/digest-pool.ts';
import type { DigestStream } from '../../../src/uploads/digest/digest-stream.ts';
import {
  connection,
  failureOf,
  finish,
  framesOf,
  header,
  hole,
  openUploadWorld,
  queueImage,
  readFaults,
  readTask,
  sha256,
  useDatabase,
} from '../../support/upload-world.ts';
import { committed, dataFrames, expectActive, resumeAndFinish } from '../complete-upload.ts';
import { FaultyStore } from '../faulty-store.ts';
import { Gate } from '../gate.ts';
import { PushedFrames } from '../pushed-frames.ts';
import { digestsOf } from '../digests-of.ts';

/** More than is read to see what the image is, in bytes. */
const lookAtFormat = 64 * 1024;
const MiB = 1024 * 1024;

function openPool(): DigestPool {
  const pool = new DigestPool(1);
  onTestFinished(() => pool.close());
  return pool;
}

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
    const pool = openPool();
    const data = randomBytes(40 * MiB + 12_345);
    const stream = pool.open();
    for (let offset = 0; offset < data.length; offset += 777_777) {
      void stream.update(new Uint8Array(data.subarray(offset, offset + 777_777)));
    }
    expect(await stream.result()).toEqual(digestsOf(sha256(data)));
    await stream.update(new Uint8Array(Buffer.from('more')));
    expect(await stream.result()).toEqual(
      digestsOf(sha256(Buffer.concat([data, Buffer.from('more')]))),
    );
  });

  test('takes a chunk that is larger than the bound', async () => {
    const pool = openPool();
    const stream = pool.open();
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
  const whole = new Uint8Array(3 * MiB).fill(7);
  await stream.update(whole.subarray(MiB, 2 * MiB));
  expect(whole[0]).toBe(7);
  expect(await stream.result()).toEqual(digestsOf(sha256(Buffer.alloc(MiB, 7))));
  const own = new Uint8Array(MiB);
  await stream.update(own);
  expect(own.byteLength).toBe(0);
});

test('a digest whose thread dies fails, and the next one is computed on a new thread', async () => {
  const pool = openPool();
  const stream = pool.open();
  const idle = pool.open();
  await stream.update(new Uint8Array(MiB));
  const result = stream.result();
  await Promise.all([pool.close(), expect(result).rejects.toThrow('died')]);
  await expect(idle.update(new Uint8Array(1))).rejects.toThrow('died');
  await expect(idle.result()).rejects.toThrow('died');
  expect(stream.isLost).toBe(true);
  idle.close();
  const next = pool.open();
  await next.update(new Uint8Array(Buffer.from('abc')));
  expect(await next.result()).toEqual(digestsOf(sha256(Buffer.from('abc'))));
});

describe('digests between two streams', () => {
  const fake = (): DigestStream & { isClosed: boolean } => ({
    bytesInFlight: 0,
    isLost: false,
    isClosed: false,
    update: () => Promise.resolve(),
    result: () => Promise.resolve(digestsOf('')),
    close() {
      this.isClosed = true;
    },
  });

  test('are kept if they are of committed bytes only, and closed if not', () => {
    const parked = new ParkedDigests({ open: fake });
    const blobId = newId<BlobId>();
    const [ahead, good] = [fake(), fake()];
    parked.park(blobId, ahead, 101, 100);
    expect(ahead.isClosed).toBe(true);
    parked.park(blobId, good, 100, 100);
    expect(parked.take(blobId, 200)).toEqual({ stream: good, position: 100 });
    expect(parked.take(blobId, 200).position).toBe(0);
  });

  test('the one that is further is kept', () => {
    const parked = new ParkedDigests({ open: fake });
    const blobId = newId<BlobId>();
    const [far, near] = [fake(), fake()];
    parked.park(blobId, far, 100, 100);
    parked.park(blobId, near, 50, 100);
    expect(near.isClosed).toBe(true);
    expect(parked.take(blobId, 100).stream).toBe(far);
  });

  test('the oldest go when there are many', () => {
    const parked = new ParkedDigests({ open: fake });
    const ids = Array.from({ length: 300 }, () => newId<BlobId>());
    const streams = ids.map(fake);
    for (const [i, id] of ids.entries()) {
      parked.park(id, streams[i]!, 1, 1);
    }
    expect(streams.filter(({ isClosed }) => isClosed)).toHaveLength(300 - 256);
    expect(streams[0]!.isClosed).toBe(true);
    expect(streams[299]!.isClosed).toBe(false);
  });
});

describe('in an upload', () => {
  const database = useDatabase();
  const data = randomBytes(250_000);

  /** Counts the bytes that are read. */
  function countReads(count: { bytes: number }): (store: BlobStore) => BlobStore {
    function counting<T extends SegmentReader>(reader: T): T {
      const read = reader.read.bind(reader);
      reader.read = (offset, target) => {
        count.bytes += target.byteLength;
        return read(offset, target);
      };
      return reader;
    }
    return (store) =>
      alteredStore(store, {
        openReader: async (id) => counting(await store.openReader(id)),
        openWriter: async (id, length) => counting(await store.openWriter(id, length)),
      });
  }

  test('the digest goes on where it was, in the same process, without reading them again', async () => {
    const read = { bytes: 0 };
    const world = await openUploadWorld(database(), { wrapStore: countReads(read) });
    const { imageId, taskId } = await queueImage(database());
    const frames = framesOf(header(taskId), ...dataFrames(data, 0, 200_000));
    await world.uploads.receive(defaultCaller, frames, connection());
    const broken = new PushedFrames(header(taskId), ...dataFrames(data, 200_000, 230_000));
    broken.fail();
    await failureOf(world.uploads.receive(defaultCaller, broken, connection()));
    await resumeAndFinish(world, taskId, data);
    expect(read.bytes).toBeLessThan(lookAtFormat);
    await expectActive(world, imageId, data);
  });

  test('in a new process the prefix is read again, while the rest already comes and is kept', async () => {
    const gate = new Gate();
    const first = await openUploadWorld(database());
    const { imageId, taskId } = await queueImage(database());
    const begun = framesOf(header(taskId), ...dataFrames(data, 0, 100_000), hole(100_000, 2 * MiB));
    await first.uploads.receive(defaultCaller, begun, connection());
    const whole = Buffer.concat([data.subarray(0, 100_000), Buffer.alloc(2 * MiB), data]);

    const read = { bytes: 0 };
    const count = countReads(read);
    const second = await openUploadWorld(database(), {
      folder: first.folder,
      wrapStore: (store) => gate.reads(count(store)),
    });
    gate.close();
    const frames = new PushedFrames(header(taskId), ...dataFrames(whole, 100_000 + 2 * MiB));
    const upload = second.uploads.receive(defaultCaller, frames, connection());
    upload.catch(() => {});
    await committed(database(), taskId, whole.length);
    expect(read.bytes).toBe(0);
    gate.open();
    frames.push(finish(whole.length, sha256(whole)));
    frames.end();
    expect(await upload).toMatchObject({ complete: true });
    expect(read.bytes).toBeGreaterThanOrEqual(whole.length);
    expect(read.bytes).toBeLessThan(whole.length + lookAtFormat);
    await expectActive(second, imageId, whole);
  });

  test('a stream waits for a digest that is slower', async () => {
    const going = Promise.withResolvers<void>();
    let given = 0;
    const slow: DigestStream = {
      bytesInFlight: 0,
      isLost: false,
      update: async (bytes) => {
        given += bytes.byteLength;
        await going.promise;
      },
      result: () => Promise.resolve(digestsOf(sha256(data))),
      close: () => {},
    };
    const world = await openUploadWorld(database(), { digests: { open: () => slow } });
    const { taskId } = await queueImage(database());
    let taken = 0;
    async function* frames() {
      yield header(taskId);
      for (const frame of dataFrames(data)) {
        await Promise.resolve();
        taken += 1;
        yield frame;
      }
      yield finish(data.length);
    }
    const upload = world.uploads.receive(defaultCaller, frames(), connection());
    upload.catch(() => {});
    await committed(database(), taskId, 100_000);
    // One is with the digest, one was read ahead.
    expect({ given, taken }).toEqual({ given: 100_000, taken: 2 });
    going.resolve();
    expect(await upload).toMatchObject({ complete: true });
  });

  test('a thread that dies ends the stream with an error for callers; the upload then goes on', async () => {
    const world = await openUploadWorld(database());
    const { imageId, taskId } = await queueImage(database());
    const frames = new PushedFrames(header(taskId), ...dataFrames(data, 0, 100_000));
    const upload = world.uploads.receive(defaultCaller, frames, connection());
    upload.catch(() => {});
    await committed(database(), taskId, 100_000);
    await world.digests.close();
    frames.push(...dataFrames(data, 100_000));
    expect(await failureOf(upload)).toMatchObject({ reason: 'INTERNAL' });
    expect(await readFaults(database(), taskId)).toMatchObject([
      { reason: 'INTERNAL', fatal: false, retryable: true, offset: 200_000 },
    ]);
    await resumeAndFinish(world, taskId, data);
    await expectActive(world, imageId, data);
  });

  test('a read that failed while the digest caught up is tried again', async () => {
    const store = new FaultyStore();
    const first = await openUploadWorld(database());
    const { imageId, taskId } = await queueImage(database());
    await first.uploads.receive(
      defaultCaller,
      framesOf(header(taskId), ...dataFrames(data, 0, 100_000)),
      connection(),
    );
    const second = await openUploadWorld(database(), {
      folder: first.folder,
      wrapStore: store.wrap,
    });
    store.break('read', 'EIO');
    const frames = new PushedFrames(header(taskId), ...dataFrames(data, 100_000, 200_000));
    const upload = second.uploads.receive(defaultCaller, frames, connection());
    upload.catch(() => {});
    await committed(database(), taskId, 200_000);
    store.mend();
    frames.push(...dataFrames(data, 200_000), finish(data.length, sha256(data)));
    frames.end();
    expect(await upload).toMatchObject({ complete: true });
    await expectActive(second, imageId, data);
  });

  test('a read that fails to the last ends the checking, and the task completes later', async () => {
    const store = new FaultyStore();
    const first = await openUploadWorld(database());
    const { imageId, taskId } = await queueImage(database());
    await first.uploads.receive(
      defaultCaller,
      framesOf(header(taskId), ...dataFrames(data)),
      connection(),
    );
    const second = await openUploadWorld(database(), {
      folder: first.folder,
      wrapStore: store.wrap,
    });
    store.break('read', 'EIO');
    const frames = framesOf(header(taskId), finish(data.length));
    const failure = await failureOf(second.uploads.receive(defaultCaller, frames, connection()));
    expect(failure).toMatchObject({ reason: 'STORAGE_UNAVAILABLE' });
    expect(await readTask(database(), taskId)).toMatchObject({
      state: 'RUNNING',
      phase: 'VERIFYING',
      finishSize: data.length,
    });
    store.mend();
    await second.repair.run();
    await second.repair.settle();
    await expectActive(second, imageId, data);
  });
});
