import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { defaultCaller } from '../../../src/access/caller.ts';
import type { BlobStore, SegmentReader } from '../../../src/storage/blob-store.ts';
import { alteredStore } from '../../storage/altered-store.ts';
import type { DigestStream } from '../../../src/uploads/digest/digest-stream.ts';
import { useDatabase } from '../../support/test-database.ts';
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
} from '../../support/upload-world.ts';
import { committed, dataFrames, expectActive, resumeAndFinish } from '../complete-upload.ts';
import { FaultyStore } from '../faulty-store.ts';
import { Gate } from '../gate.ts';
import { startHalfOpen } from '../half-open-upload.ts';
import { PushedFrames } from '../pushed-frames.ts';
import { digestsOf } from './digest-fixtures.ts';

/** More than is read to see what the image is, in bytes. */
const lookAtFormat = 64 * 1024;
const MiB = 1024 * 1024;

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
    const { frames, upload } = await startHalfOpen(world, taskId, data, 100_000);
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
    const { frames, upload } = await startHalfOpen(second, taskId, data, 200_000);
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
