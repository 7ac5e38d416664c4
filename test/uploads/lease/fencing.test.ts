import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { defaultCaller } from '../../../src/access/caller.ts';
import type { TaskId } from '../../../src/records/ids.ts';
import { BlobSegment } from '../../../src/records/blob.ts';
import { useDatabase } from '../../support/test-database.ts';
import {
  chunk,
  connection,
  failureOf,
  finish,
  framesOf,
  header,
  loseProcess,
  openUploadWorld,
  queueImage,
  readFaults,
  readTask,
  retryTask,
} from '../../support/upload-world.ts';
import { committed, dataFrames, expectActive, resumeAndFinish } from '../complete-upload.ts';
import { FaultyStore } from '../faulty-store.ts';
import { Gate } from '../gate.ts';
import { startHalfOpen } from '../half-open-upload.ts';
import { PushedFrames } from '../pushed-frames.ts';

const database = useDatabase();
const data = randomBytes(300_000);
const other = randomBytes(300_000);

async function segmentsOf(taskId: TaskId): Promise<BlobSegment[]> {
  const { blobId } = await readTask(database(), taskId);
  return database()
    .fork()
    .find(BlobSegment, { blobId: blobId! }, { orderBy: { writerEpoch: 'asc' } });
}

test.each(['the same process', 'another process'])(
  'ResumeUpload ends a half-open stream of %s at once, and none of its bytes land',
  async (where) => {
    const first = await openUploadWorld(database());
    const second =
      where === 'the same process'
        ? first
        : await openUploadWorld(database(), { folder: first.folder });
    const { imageId, taskId } = await queueImage(database());
    const old = await startHalfOpen(first, taskId, data, 100_000);

    const resumed = await second.uploads.resume(defaultCaller, taskId, 'the next one');
    expect(resumed).toMatchObject({ committedSize: 100_000, writerEpoch: 2, writerPeer: null });
    const started = performance.now();
    const failure = await failureOf(old.upload);
    expect(performance.now() - started).toBeLessThan(5000);
    expect(failure).toMatchObject({
      reason: 'WRITER_FENCED',
      metadata: { writer_epoch: '2', committed_size: '100000', task_id: taskId },
    });
    old.frames.push(chunk(100_000, other.subarray(0, 50_000)));
    await resumeAndFinish(second, taskId, data);
    await expectActive(first, imageId, data);
    // To be superseded is no fault of the task.
    expect(await readFaults(database(), taskId)).toEqual([]);
  },
);

test('what a superseded writer still has in its hands never lands', async () => {
  const gate = new Gate();
  const zombie = await openUploadWorld(database(), {
    wrapStore: gate.store,
    wrapDatabase: gate.database,
  });
  const { imageId, taskId } = await queueImage(database());
  const old = await startHalfOpen(zombie, taskId, data, 100_000);
  // The process hangs in the middle of a write, long enough to be taken for dead, and then goes on.
  gate.close();
  old.frames.push(chunk(100_000, other.subarray(0, 80_000)), chunk(180_000, other.subarray(0, 9)));
  await loseProcess(database(), zombie);

  const alive = await openUploadWorld(database(), { folder: zombie.folder });
  const next = await startHalfOpen(alive, taskId, data, 200_000);
  gate.open();
  expect(await failureOf(old.upload)).toMatchObject({ reason: 'WRITER_FENCED' });
  next.frames.push(...dataFrames(data, 200_000), finish(data.length));
  next.frames.end();
  expect(await next.upload).toMatchObject({ complete: true });
  await expectActive(alive, imageId, data);
  expect(await readFaults(database(), taskId)).toMatchObject([
    { reason: 'SERVICE_LOST', fatal: false, offset: 100_000 },
  ]);
});

test('a commit that a superseded writer has begun changes nothing', async () => {
  const gate = new Gate();
  const zombie = await openUploadWorld(database(), { wrapDatabase: gate.database });
  const { imageId, taskId } = await queueImage(database());
  const old = await startHalfOpen(zombie, taskId, data, 100_000);
  gate.close();
  // Written and synced, but not recorded.
  old.frames.push(...dataFrames(other, 100_000, 250_000));
  const alive = await openUploadWorld(database(), { folder: zombie.folder });
  await alive.uploads.resume(defaultCaller, taskId, 'test');
  gate.open();
  expect(await failureOf(old.upload)).toMatchObject({ reason: 'WRITER_FENCED' });
  expect((await readTask(database(), taskId)).committedSize).toBe(100_000);
  await resumeAndFinish(alive, taskId, data);
  await expectActive(alive, imageId, data);
});

test('a second stream without an epoch is refused, and told who writes and since when', async () => {
  const world = await openUploadWorld(database());
  const { imageId, taskId } = await queueImage(database());
  const first = await startHalfOpen(world, taskId, data, 100_000);
  const { writerSince } = await readTask(database(), taskId);

  for (const opened of [world, await openUploadWorld(database(), { folder: world.folder })]) {
    const failure = await failureOf(
      opened.uploads.receive(defaultCaller, framesOf(header(taskId)), connection()),
    );
    expect(failure).toMatchObject({
      reason: 'WRITER_ACTIVE',
      metadata: { writer: 'test at 127.0.0.1', since: writerSince?.toISOString() },
    });
    expect(failure.message).toContain('test at 127.0.0.1 since 20');
    expect(failure.retryDelayMs).toBeGreaterThan(0);
  }
  // Nor with the epoch, while its stream lives.
  expect(
    await failureOf(
      world.uploads.receive(defaultCaller, framesOf(header(taskId, 1)), connection()),
    ),
  ).toMatchObject({ reason: 'WRITER_ACTIVE' });

  first.frames.end();
  expect(await first.upload).toMatchObject({ complete: false, committedSize: 100_000 });
  await resumeAndFinish(world, taskId, data);
  await expectActive(world, imageId, data);
});

test('of two streams that begin at the same time one is taken', async () => {
  const worlds = [await openUploadWorld(database())];
  worlds.push(await openUploadWorld(database(), { folder: worlds[0]!.folder }));
  const { imageId, taskId } = await queueImage(database());
  let told = 0;
  const streams = [0, 1, 0, 1].map((which) => {
    const frames = new PushedFrames(header(taskId));
    const upload = worlds[which]!.uploads.receive(defaultCaller, frames, connection());
    const ended = upload.then(
      () => 'taken',
      (error: { reason: string }) => {
        told += 1;
        return error.reason;
      },
    );
    return { frames, ended };
  });
  for (const { frames } of streams) {
    frames.push(...dataFrames(data));
  }
  await committed(database(), taskId, data.length);
  // Not before all others were told: one that is late would find the upload free.
  await expect.poll(() => told, { timeout: 20_000 }).toBe(3);
  for (const { frames } of streams) {
    frames.end();
  }
  const ends = await Promise.all(streams.map(({ ended }) => ended));
  expect(ends.toSorted()).toEqual(['WRITER_ACTIVE', 'WRITER_ACTIVE', 'WRITER_ACTIVE', 'taken']);
  await resumeAndFinish(worlds[1]!, taskId, data);
  await expectActive(worlds[0]!, imageId, data);
});

test('an epoch that is over is refused, and so is one that never was', async () => {
  const world = await openUploadWorld(database());
  const { taskId } = await queueImage(database());
  await world.uploads.resume(defaultCaller, taskId, 'test');
  await world.uploads.resume(defaultCaller, taskId, 'test');
  for (const epoch of [1, 3]) {
    expect(
      await failureOf(
        world.uploads.receive(defaultCaller, framesOf(header(taskId, epoch)), connection()),
      ),
    ).toMatchObject({ reason: 'WRITER_FENCED', metadata: { writer_epoch: '2' } });
  }
  for (const epoch of [0, -1, 1.5, Number.NaN]) {
    expect(
      await failureOf(
        world.uploads.receive(defaultCaller, framesOf(header(taskId, epoch)), connection()),
      ),
    ).toMatchObject({ reason: 'FIELD_INVALID' });
  }
});

test('the epoch is gone on with after a stream that ended by itself, on the same segment', async () => {
  const world = await openUploadWorld(database());
  const { imageId, taskId } = await queueImage(database());
  for (const [length, epoch] of [
    [50_000, undefined],
    [100_000, 1],
    [150_000, 1],
  ] as const) {
    const stream = await startHalfOpen(
      world,
      taskId,
      data,
      length,
      epoch === undefined ? {} : { writerEpoch: epoch },
    );
    stream.frames.end();
    expect(await stream.upload).toMatchObject({ committedSize: length, writerEpoch: 1 });
  }
  // Nor does a stream without an epoch need a segment of its own then.
  const stream = await startHalfOpen(world, taskId, data, 200_000);
  stream.frames.end();
  expect(await stream.upload).toMatchObject({ committedSize: 200_000, writerEpoch: 2 });
  expect(await segmentsOf(taskId)).toMatchObject([{ startOffset: 0, length: 200_000 }]);
  expect(
    await failureOf(
      world.uploads.receive(defaultCaller, framesOf(header(taskId, 1)), connection()),
    ),
  ).toMatchObject({ reason: 'WRITER_FENCED' });
  await resumeAndFinish(world, taskId, data);
  await expectActive(world, imageId, data);
});

test('a new epoch begins, with a segment of its own, after a writer that died', async () => {
  const gate = new Gate();
  const dead = await openUploadWorld(database(), {
    wrapStore: gate.store,
    wrapDatabase: gate.database,
  });
  const { imageId, taskId } = await queueImage(database());
  await startHalfOpen(dead, taskId, data, 100_000);
  gate.close();
  const world = await openUploadWorld(database(), { folder: dead.folder });
  // Not known to be dead yet.
  expect(
    await failureOf(
      world.uploads.receive(defaultCaller, framesOf(header(taskId, 1)), connection()),
    ),
  ).toMatchObject({ reason: 'WRITER_ACTIVE' });
  await loseProcess(database(), dead);
  const next = await startHalfOpen(world, taskId, data, 200_000, { writerEpoch: 1 });
  next.frames.end();
  expect(await next.upload).toMatchObject({ committedSize: 200_000, writerEpoch: 2 });
  expect(await segmentsOf(taskId)).toMatchObject([
    { startOffset: 0, length: 100_000, writerEpoch: 1 },
    { startOffset: 100_000, length: 100_000, writerEpoch: 2 },
  ]);
  await resumeAndFinish(world, taskId, data);
  await expectActive(world, imageId, data);
});

test('a retry does not go on with a segment that the attempt before may still be writing', async () => {
  const gate = new Gate();
  const zombie = await openUploadWorld(database(), { wrapStore: gate.store });
  const { imageId, taskId } = await queueImage(database());
  const old = await startHalfOpen(zombie, taskId, data, 100_000);
  gate.close();
  old.frames.push(...dataFrames(other, 100_000));
  await zombie.ledger.change(taskId, undefined, (entry) => entry.cancel('test'));
  expect(await failureOf(old.upload)).toMatchObject({ reason: 'TASK_TERMINAL' });

  const world = await openUploadWorld(database(), { folder: zombie.folder });
  const next = await retryTask(world, taskId, true);
  const stream = await startHalfOpen(world, next, data, 200_000, { writerEpoch: 1 });
  gate.open();
  stream.frames.end();
  expect(await stream.upload).toMatchObject({ committedSize: 200_000, writerEpoch: 2 });
  expect(await segmentsOf(next)).toHaveLength(2);
  await resumeAndFinish(world, next, data);
  await expectActive(world, imageId, data);
});

test('a stream that this process does not know of does not block', async () => {
  const world = await openUploadWorld(database());
  const { imageId, taskId } = await queueImage(database());
  // As if the answer to the attaching had been lost with the database's connection.
  await world.ledger.change(taskId, undefined, (entry) => {
    entry.task.writerEpoch = 1;
    entry.start('RECEIVING', 'test');
    entry.task.writerProcessId = world.processId;
    entry.task.writerPeer = 'lost';
    entry.task.writerSince = entry.now;
  });
  const stream = await startHalfOpen(world, taskId, data, 100_000);
  stream.frames.end();
  expect(await stream.upload).toMatchObject({ writerEpoch: 2 });
  await resumeAndFinish(world, taskId, data);
  await expectActive(world, imageId, data);
});

test('a superseded stream ends although its own disk hangs', async () => {
  const gate = new Gate();
  const world = await openUploadWorld(database(), { wrapStore: gate.store });
  const { taskId } = await queueImage(database());
  const old = await startHalfOpen(world, taskId, data, 100_000);
  gate.close();
  old.frames.push(...dataFrames(data, 100_000));
  await world.uploads.resume(defaultCaller, taskId, 'test');
  expect(await failureOf(old.upload)).toMatchObject({ reason: 'WRITER_FENCED' });
  gate.open();
});

test('a writer that is superseded while the whole is checked publishes nothing', async () => {
  const gate = new Gate();
  const world = await openUploadWorld(database());
  const { imageId, taskId } = await queueImage(database());
  const first = await startHalfOpen(world, taskId, data, 100_000);
  first.frames.end();
  await first.upload;
  // A process that was restarted reads the bytes again to digest them, and hangs in that.
  const restarted = await openUploadWorld(database(), {
    folder: world.folder,
    wrapStore: gate.reads,
  });
  gate.close();
  const frames = framesOf(header(taskId, 1), ...dataFrames(data, 100_000), finish(data.length));
  const upload = restarted.uploads.receive(defaultCaller, frames, connection());
  upload.catch(() => {});
  await expect
    .poll(async () => (await readTask(database(), taskId)).phase, { timeout: 10_000 })
    .toBe('VERIFYING');
  await world.uploads.resume(defaultCaller, taskId, 'test');
  expect(await failureOf(upload)).toMatchObject({ reason: 'WRITER_FENCED' });
  gate.open();
  expect((await readTask(database(), taskId)).state).toBe('RUNNING');
  await resumeAndFinish(world, taskId, data);
  await expectActive(world, imageId, data);
});

test('a writer that is superseded while it publishes publishes nothing', async () => {
  const store = new FaultyStore();
  const world = await openUploadWorld(database(), { wrapStore: store.wrap });
  const { imageId, taskId } = await queueImage(database());
  const completing = store.hold('complete');
  const frames = framesOf(header(taskId), ...dataFrames(data), finish(data.length));
  const upload = world.uploads.receive(defaultCaller, frames, connection());
  upload.catch(() => {});
  await completing.isAsked;
  await world.uploads.resume(defaultCaller, taskId, 'test');
  completing.letGo();
  expect(await failureOf(upload)).toMatchObject({ reason: 'WRITER_FENCED' });
  expect((await readTask(database(), taskId)).state).toBe('RUNNING');
  await resumeAndFinish(world, taskId, data);
  await expectActive(world, imageId, data);
});

test('a stopping process lets go of an upload only when its last write has ended', async () => {
  const store = new FaultyStore();
  const stopping = await openUploadWorld(database(), { wrapStore: store.wrap });
  const { imageId, taskId } = await queueImage(database());
  const old = await startHalfOpen(stopping, taskId, data, 100_000);
  store.slow('append', 500);
  old.frames.push(chunk(100_000, other.subarray(0, 90_000)));
  await expect.poll(() => old.frames.isDrained).toBe(true);
  const drained = stopping.uploads.drain();
  const failure = failureOf(old.upload);

  // Whoever goes on with the epoch, and so with the segment, must not meet that write.
  const next = await openUploadWorld(database(), { folder: stopping.folder });
  await expect
    .poll(async () => (await readTask(database(), taskId)).writerProcessId, { timeout: 10_000 })
    .toBe(null);
  const stream = await startHalfOpen(next, taskId, data, data.length, { writerEpoch: 1 });
  await Promise.all([
    drained,
    expect(failure).resolves.toMatchObject({ reason: 'SERVER_DRAINING' }),
  ]);
  stream.frames.push(finish(data.length));
  stream.frames.end();
  await stream.upload;
  await expectActive(next, imageId, data);
  expect(await readFaults(database(), taskId)).toMatchObject([{ reason: 'SERVER_DRAINING' }]);

  expect(
    await failureOf(
      stopping.uploads.receive(defaultCaller, framesOf(header(taskId)), connection()),
    ),
  ).toMatchObject({ reason: 'SERVER_DRAINING' });
});
