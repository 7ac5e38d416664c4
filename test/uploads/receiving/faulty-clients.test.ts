import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Code } from '../../../gen/google/rpc/code_pb.ts';
import { defaultCaller } from '../../../src/access/caller.ts';
import { useDatabase } from '../../support/test-database.ts';
import {
  connection,
  failureOf,
  finish,
  header,
  openUploadWorld,
  queueImage,
  readFaults,
} from '../../support/upload-world.ts';
import { dataFrames, expectActive, resumeAndFinish } from '../complete-upload.ts';
import { expectFault } from '../expect-fault.ts';
import { FaultyStore } from '../faulty-store.ts';
import { startHalfOpen } from '../half-open-upload.ts';
import { PushedFrames } from '../pushed-frames.ts';

const database = useDatabase();
const data = randomBytes(250_000);
/** What each stream sends before something goes wrong. */
const good = () => dataFrames(data, 0, 100_000);

/** A stream that has broken off, and whose bytes become durable when the test lets the disk go. */
async function breakOffAtTheDisk() {
  const disk = new FaultyStore();
  const persisting = disk.hold('persist');
  const world = await openUploadWorld(database(), {
    limits: { commitIntervalMs: 60_000 },
    wrapStore: disk.wrap,
  });
  const { taskId } = await queueImage(database());
  const frames = new PushedFrames(header(taskId), ...good());
  frames.fail();
  const upload = world.uploads.receive(defaultCaller, frames, connection());
  upload.catch(() => {});
  await persisting.isAsked;
  return { world, taskId, upload, persisting };
}

describe('a client that', () => {
  test('breaks the connection', async () => {
    const world = await openUploadWorld(database());
    const { imageId, taskId } = await queueImage(database());
    const frames = new PushedFrames(header(taskId), ...good());
    frames.fail();
    const failure = await failureOf(world.uploads.receive(defaultCaller, frames, connection()));
    await expectFault(database(), taskId, failure, {
      reason: 'CONNECTION_LOST',
      code: Code.UNAVAILABLE,
    });
    await resumeAndFinish(world, taskId, data);
    await expectActive(world, imageId, data);
  });

  test('resumes before its broken stream is at its end: it goes on after all that came, and the fault is told', async () => {
    const { world, taskId, upload, persisting } = await breakOffAtTheDisk();
    const failure = failureOf(upload);
    const resumed = world.uploads.resume(defaultCaller, taskId, 'the client');
    persisting.letGo();
    expect(await resumed).toMatchObject({ committedSize: 100_000, writerEpoch: 2 });
    expect(await failure).toMatchObject({ reason: 'CONNECTION_LOST' });
    expect(await readFaults(database(), taskId)).toMatchObject([
      { reason: 'CONNECTION_LOST', offset: 100_000 },
    ]);
  });

  test('resumes while the disk of its broken stream hangs: it does not wait for that', async () => {
    const { world, taskId, upload, persisting } = await breakOffAtTheDisk();
    const resumed = await world.uploads.resume(defaultCaller, taskId, 'the client');
    expect(resumed).toMatchObject({ committedSize: 0, writerEpoch: 2 });
    persisting.letGo();
    await upload.catch(() => {});
  });

  test('vanishes so that only the connection’s signal says so', async () => {
    const world = await openUploadWorld(database());
    const { taskId } = await queueImage(database());
    const gone = new AbortController();
    const { upload } = await startHalfOpen(world, taskId, data, 100_000, {
      connection: connection(gone.signal),
    });
    gone.abort(new Error('socket hang up'));
    const failure = await failureOf(upload);
    await expectFault(database(), taskId, failure, {
      reason: 'CONNECTION_LOST',
      code: Code.UNAVAILABLE,
    });
  });

  test('breaks the connection after the finish: the image is made all the same', async () => {
    const world = await openUploadWorld(database());
    const { imageId, taskId } = await queueImage(database());
    const frames = new PushedFrames(header(taskId), ...dataFrames(data), finish(data.length));
    frames.fail();
    await world.uploads.receive(defaultCaller, frames, connection());
    await expectActive(world, imageId, data);
  });

  test('never half-closes after the finish: the image is made all the same', async () => {
    const world = await openUploadWorld(database(), { limits: { streamIdleTimeoutMs: 300 } });
    const { imageId, taskId } = await queueImage(database());
    const frames = new PushedFrames(header(taskId), ...dataFrames(data), finish(data.length));
    const silent = { ...connection(), bytesReceived: () => 0 };
    await world.uploads.receive(defaultCaller, frames, silent);
    await expectActive(world, imageId, data);
  });

  test('says nothing any more', async () => {
    const world = await openUploadWorld(database(), { limits: { streamIdleTimeoutMs: 300 } });
    const { imageId, taskId } = await queueImage(database());
    const silent = { ...connection(), bytesReceived: () => 0 };
    const before = await failureOf(
      world.uploads.receive(defaultCaller, new PushedFrames(), silent),
    );
    expect(before).toMatchObject({ reason: 'STREAM_IDLE' });
    const frames = new PushedFrames(header(taskId), ...good());
    const failure = await failureOf(world.uploads.receive(defaultCaller, frames, silent));
    await expectFault(database(), taskId, failure, {
      reason: 'STREAM_IDLE',
      code: Code.DEADLINE_EXCEEDED,
    });
    await resumeAndFinish(world, taskId, data);
    await expectActive(world, imageId, data);
  });

  test('sends single bytes of a frame, slower than is taken', async () => {
    const world = await openUploadWorld(database(), {
      limits: { streamIdleTimeoutMs: 300, minUploadRate: 1000 },
    });
    const { taskId } = await queueImage(database());
    const frames = new PushedFrames(header(taskId), ...good());
    let bytes = 0;
    const slow = { ...connection(), bytesReceived: () => (bytes += 1) };
    const failure = await failureOf(world.uploads.receive(defaultCaller, frames, slow));
    await expectFault(database(), taskId, failure, {
      reason: 'STREAM_TOO_SLOW',
      code: Code.DEADLINE_EXCEEDED,
    });
  });

  test('is not blamed for a disk that is slower than a client may be', async () => {
    const store = new FaultyStore();
    store.slow('append', 300);
    const world = await openUploadWorld(database(), {
      limits: { streamIdleTimeoutMs: 200, minUploadRate: 1_000_000 },
      wrapStore: store.wrap,
    });
    const { imageId, taskId } = await queueImage(database());
    let bytes = 0;
    const counted = { ...connection(), bytesReceived: () => bytes };
    async function* frames() {
      yield header(taskId);
      for (const frame of [...dataFrames(data), finish(data.length)]) {
        await Promise.resolve();
        bytes += 100_000;
        yield frame;
      }
    }
    await world.uploads.receive(defaultCaller, frames(), counted);
    await expectActive(world, imageId, data);
  });
});
