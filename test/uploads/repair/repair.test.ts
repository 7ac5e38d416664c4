import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { defaultCaller } from '../../../src/access/caller.ts';
import { newId, type BlobId, type SegmentId, type TaskId } from '../../../src/records/ids.ts';
import { deleteImage } from '../../../src/images/delete-image.ts';
import { Blob } from '../../../src/records/blob.ts';
import type { RepairReport } from '../../../src/uploads/repair/upload-repair.ts';
import { useDatabase } from '../../support/test-database.ts';
import {
  connection,
  failureOf,
  finish,
  framesOf,
  header,
  openUploadWorld,
  queueImage,
  readFaults,
  readImage,
  readTask,
  retryTask,
  sha256,
  useUploadWorld,
  type UploadWorld,
} from '../../support/upload-world.ts';
import { dataFrames, expectActive, resumeAndFinish } from '../complete-upload.ts';
import { FaultyStore } from '../faulty-store.ts';
import { Gate } from '../gate.ts';
import { startHalfOpen } from '../half-open-upload.ts';
import { PushedFrames } from '../pushed-frames.ts';

const database = useDatabase();
const disk = new FaultyStore();
const theWorld = useUploadWorld(database, { wrapStore: disk.wrap });
const data = randomBytes(120_000);

const nothing: RepairReport = {
  filesRemoved: 0,
  blobsReleased: 0,
  segmentsRemoved: 0,
  writersDetached: 0,
  tasksFailed: 0,
  finishesTakenUp: 0,
  stepsFailed: 0,
};

beforeEach(async () => {
  disk.mend();
  // What the test before has left, and is none of this one's.
  await theWorld().repair.run();
  await theWorld().repair.settle();
  await theWorld().repair.run();
});

/** Another process on the same database and folder. */
function another(options: Parameters<typeof openUploadWorld>[1] = {}): Promise<UploadWorld> {
  return openUploadWorld(database(), { folder: theWorld().folder, ...options });
}

async function segmentIds(): Promise<SegmentId[]> {
  const ids: SegmentId[] = [];
  for await (const id of theWorld().store.list()) {
    ids.push(id);
  }
  return ids;
}

async function segmentsOf(taskId: TaskId): Promise<SegmentId[]> {
  const { rows } = await database().pool.query<{ id: SegmentId }>(
    `select id from blob_segments where blob_id = (select blob_id from tasks where id = $1)`,
    [taskId],
  );
  return rows.map(({ id }) => id);
}

/** An upload that has committed all of `data`, whose stream has ended. */
async function uploaded(): Promise<Awaited<ReturnType<typeof queueImage>>> {
  const queued = await queueImage(database());
  const frames = framesOf(header(queued.taskId), ...dataFrames(data));
  await theWorld().uploads.receive(defaultCaller, frames, connection());
  return queued;
}

async function expectRepaired(expected: Partial<RepairReport>, world = theWorld()): Promise<void> {
  expect(await world.repair.run()).toEqual({ ...nothing, ...expected });
  await world.repair.settle();
  expect(await world.repair.run()).toEqual(nothing);
}

test('where nothing is wrong nothing is done, whatever is under way', async () => {
  const { taskId, imageId } = await uploaded();
  const published = await uploaded();
  await resumeAndFinish(theWorld(), published.taskId, data);
  const cancelled = await uploaded();
  await theWorld().ledger.change(cancelled.taskId, undefined, (entry) => entry.cancel('test'));
  const other = await another();
  const live = await queueImage(database());
  const frames = new PushedFrames(header(live.taskId));
  const upload = other.uploads.receive(defaultCaller, frames, connection());
  await expect.poll(() => frames.isDrained).toBe(true);

  // The resumed and finished one began a segment of its own, to which nothing came.
  expect(await theWorld().repair.run()).toEqual({ ...nothing, segmentsRemoved: 1 });
  expect(await theWorld().repair.run()).toEqual(nothing);
  expect(await other.repair.run()).toEqual(nothing);
  frames.push(...dataFrames(data), finish(data.length));
  frames.end();
  await upload;
  await expectActive(theWorld(), live.imageId, data);
  await resumeAndFinish(theWorld(), taskId, data);
  await expectActive(theWorld(), imageId, data);
  await expectActive(theWorld(), published.imageId, data);
  const retried = await retryTask(theWorld(), cancelled.taskId, true);
  expect((await readTask(database(), retried)).committedSize).toBe(data.length);
});

test('a file that no row owns is removed', async () => {
  const { store } = theWorld();
  const orphan = newId<SegmentId>();
  const writer = await store.openWriter(orphan, 0);
  await writer.append(data);
  await writer.close();
  await expectRepaired({ filesRemoved: 1 });
  expect(await segmentIds()).not.toContain(orphan);
});

describe('bytes that nobody can use any more', () => {
  test('of a task that was retried from the first byte go', async () => {
    const { taskId } = await uploaded();
    const [segment] = await segmentsOf(taskId);
    await theWorld().ledger.change(taskId, undefined, (entry) => entry.cancel('test'));
    await retryTask(theWorld(), taskId, false);
    await expectRepaired({ blobsReleased: 1 });
    expect(await segmentIds()).not.toContain(segment);
    expect((await readTask(database(), taskId)).blobId).toBeNull();
  });

  test('of an image that was deleted go with it, and those of a blob that no task has', async () => {
    const { taskId, imageId } = await uploaded();
    const [segment] = await segmentsOf(taskId);
    // The process dies before its reaper is woken.
    await deleteImage(database(), defaultCaller, { imageId, etag: '' }, () => {});
    const blobId = newId<BlobId>();
    await database().pool.query(`insert into blobs (id, state) values ($1, 'STAGED')`, [blobId]);
    await expectRepaired({ blobsReleased: 1 });
    expect(await segmentIds()).not.toContain(segment);
    expect(await database().fork().findOne(Blob, { id: blobId })).toBeNull();
  });

  test('are tried again when they cannot be removed, and others need not wait for them', async () => {
    const { imageId } = await uploaded();
    const stuck = await uploaded();
    const [segment] = await segmentsOf(stuck.taskId);
    const other = await another({
      wrapStore: (store) => ({
        ...disk.wrap(store),
        remove: async (id) => {
          if (id === segment) {
            disk.break('remove', 'EACCES');
          }
          await disk.wrap(store).remove(id);
          disk.mend();
        },
      }),
    });
    for (const id of [stuck.imageId, imageId]) {
      await deleteImage(database(), defaultCaller, { imageId: id, etag: '' }, () => {});
    }
    expect(await other.repair.run()).toEqual({ ...nothing, stepsFailed: 1 });
    disk.mend();
    const deleting = await database().fork().find(Blob, { state: 'DELETING' });
    expect(deleting).toHaveLength(1);
    await expectRepaired({});
    expect(await database().fork().find(Blob, { state: 'DELETING' })).toEqual([]);
  });
});

test('segments of writers that came and went without a byte are removed, but not a live one’s', async () => {
  const { taskId, imageId } = await queueImage(database());
  for (let i = 0; i < 3; i++) {
    const { writerEpoch } = await theWorld().uploads.resume(defaultCaller, taskId, 'test');
    await theWorld().uploads.receive(
      defaultCaller,
      framesOf(header(taskId, writerEpoch)),
      connection(),
    );
  }
  expect(await segmentsOf(taskId)).toHaveLength(3);
  await expectRepaired({ segmentsRemoved: 2 });
  await resumeAndFinish(theWorld(), taskId, data);
  await expectRepaired({ segmentsRemoved: 1 });
  await expectActive(theWorld(), imageId, data);
});

test('a writer that this process is said to have and has not is detached, with a fault', async () => {
  const { taskId, imageId } = await uploaded();
  await theWorld().ledger.change(taskId, undefined, ({ task, now }) => {
    task.writerProcessId = theWorld().processId;
    task.writerPeer = 'lost';
    task.writerSince = now;
  });
  const other = await another();
  expect(await other.repair.run()).toEqual(nothing);
  await expectRepaired({ writersDetached: 1 });
  expect(await readFaults(database(), taskId)).toMatchObject([
    { reason: 'SERVICE_LOST', fatal: false, retryable: true, offset: data.length },
  ]);
  await resumeAndFinish(theWorld(), taskId, data);
  await expectActive(theWorld(), imageId, data);
});

describe('committed bytes that are not there', () => {
  test('fail their task, and a retry begins anew', async () => {
    const { taskId, imageId } = await uploaded();
    for (const id of await segmentsOf(taskId)) {
      const writer = await theWorld().store.openWriter(id, 1000);
      await writer.close();
    }
    await expectRepaired({ tasksFailed: 1 });
    expect(await readFaults(database(), taskId)).toMatchObject([
      { reason: 'STORED_BYTES_LOST', fatal: true },
    ]);
    expect((await readImage(database(), imageId)).outlook).toBe('NOT_COMING');
    const next = await retryTask(theWorld(), taskId, false);
    await expectRepaired({ blobsReleased: 1 });
    await resumeAndFinish(theWorld(), next, data);
    await expectActive(theWorld(), imageId, data);
  });

  test('are not lost while the store cannot be reached; the other steps are taken', async () => {
    const { taskId, imageId } = await uploaded();
    await database().pool.query(`insert into blobs (id, state) values ($1, 'STAGED')`, [
      newId<BlobId>(),
    ]);
    disk.break('heldBytes', 'EIO');
    expect(await theWorld().repair.run()).toEqual({ ...nothing, blobsReleased: 1, stepsFailed: 1 });
    expect((await readTask(database(), taskId)).state).toBe('RUNNING');
    disk.mend();
    await resumeAndFinish(theWorld(), taskId, data);
    await expectActive(theWorld(), imageId, data);
  });
});

describe('a finish that was received by a process that is gone', () => {
  async function orphanFinish(digest: string): Promise<Awaited<ReturnType<typeof queueImage>>> {
    const queued = await uploaded();
    const gate = new Gate();
    const dying = await another({ wrapStore: gate.reads, wrapDatabase: gate.database });
    gate.close();
    // It hangs in reading what the digest needs, until it has recorded the finish; then it dies.
    const frames = framesOf(header(queued.taskId), finish(data.length, digest));
    gate.open();
    disk.slow('read', 0);
    const reads = new Gate();
    reads.close();
    // Its digest would go on to be counted as one that reads, by tests that come after it in this process.
    onTestFinished(() => reads.open());
    const slow = await another({
      wrapStore: (store) => reads.reads(store),
      wrapDatabase: gate.database,
    });
    void dying;
    slow.uploads.receive(defaultCaller, frames, connection()).catch(() => {});
    await expect
      .poll(async () => (await readTask(database(), queued.taskId)).phase, { timeout: 10_000 })
      .toBe('VERIFYING');
    gate.close();
    // As the registry does when a process is lost.
    await theWorld().ledger.change(queued.taskId, undefined, (entry) =>
      entry.changeWriter('the process died'),
    );
    return queued;
  }

  test('completes by itself, once, whichever processes repair', async () => {
    const { taskId, imageId } = await orphanFinish(sha256(data));
    const other = await another();
    await Promise.all([theWorld().repair.run(), other.repair.run()]);
    await Promise.all([theWorld().repair.settle(), other.repair.settle()]);
    await expectActive(theWorld(), imageId, data);
    expect(await readTask(database(), taskId)).toMatchObject({
      state: 'SUCCEEDED',
      finishSize: data.length,
      finishSha256: sha256(data),
    });
  });

  test('fails by itself if what it said is wrong', async () => {
    const { taskId, imageId } = await orphanFinish('0'.repeat(64));
    await expectRepaired({ finishesTakenUp: 1 });
    expect(await readFaults(database(), taskId)).toMatchObject([
      { reason: 'DIGEST_MISMATCH', fatal: true, phase: 'VERIFYING' },
    ]);
    expect((await readImage(database(), imageId)).state).toBe('QUEUED');
  });

  test('is no sign of life each time that it cannot be completed', async () => {
    const { taskId } = await orphanFinish(sha256(data));
    const { expireTime } = await readTask(database(), taskId);
    disk.break('complete', 'EIO');
    for (let i = 0; i < 2; i++) {
      expect(await theWorld().repair.run()).toMatchObject({ finishesTakenUp: 1 });
      await theWorld().repair.settle();
    }
    expect((await readFaults(database(), taskId)).map(({ reason }) => reason)).toEqual([
      'STORAGE_UNAVAILABLE',
      'STORAGE_UNAVAILABLE',
    ]);
    expect((await readTask(database(), taskId)).expireTime).toEqual(expireTime);
  });

  test('counts as it was sent last', async () => {
    const { taskId, imageId } = await queueImage(database());
    const first = data.subarray(0, 50_000);
    // A finish that its client took back by sending more.
    await theWorld().uploads.receive(
      defaultCaller,
      framesOf(header(taskId), ...dataFrames(first)),
      connection(),
    );
    await theWorld().ledger.change(taskId, undefined, ({ task }) => {
      task.finishSize = first.length;
      task.finishSha256 = sha256(first);
    });
    disk.break('complete', 'EIO');
    const rest = framesOf(header(taskId), ...dataFrames(data, 50_000), finish(data.length));
    await failureOf(theWorld().uploads.receive(defaultCaller, rest, connection()));
    disk.mend();
    await expectRepaired({ finishesTakenUp: 1 });
    await expectActive(theWorld(), imageId, data);
  });

  test('does not keep its client from sending it again', async () => {
    const { taskId, imageId } = await orphanFinish(sha256(data));
    await resumeAndFinish(theWorld(), taskId, data);
    await expectActive(theWorld(), imageId, data);
  });
});

test('a writer that died before it made its file does not matter', async () => {
  const gate = new Gate();
  const dying = await another({ wrapStore: gate.store });
  const { taskId, imageId } = await queueImage(database());
  gate.close();
  dying.uploads.receive(defaultCaller, framesOf(header(taskId)), connection()).catch(() => {});
  await expect.poll(async () => (await segmentsOf(taskId)).length, { timeout: 10_000 }).toBe(1);
  expect(await segmentIds()).not.toContain((await segmentsOf(taskId))[0]);
  expect(await theWorld().repair.run()).toEqual(nothing);
  await resumeAndFinish(theWorld(), taskId, data);
  await expectRepaired({ segmentsRemoved: 1 });
  await expectActive(theWorld(), imageId, data);
});

test('a file that comes after its row was removed goes with the next repair', async () => {
  const gate = new Gate();
  const late = await another({ wrapStore: gate.store });
  const { taskId, imageId } = await queueImage(database());
  gate.close();
  const upload = late.uploads.receive(defaultCaller, framesOf(header(taskId)), connection());
  upload.catch(() => {});
  await expect.poll(async () => (await segmentsOf(taskId)).length, { timeout: 10_000 }).toBe(1);
  await deleteImage(database(), defaultCaller, { imageId, etag: '' }, () => {});
  await theWorld().repair.run();
  gate.open();
  expect(await failureOf(upload)).toMatchObject({ reason: 'TASK_TERMINAL' });
  await expectRepaired({ filesRemoved: 1 });
});

test('repairs that run all the time disturb no upload', async () => {
  const other = await another();
  const over = new AbortController();
  const repairing = Promise.all(
    [theWorld(), other].map(async (world) => {
      while (!over.signal.aborted) {
        expect((await world.repair.run()).stepsFailed).toBe(0);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }),
  );
  await Promise.all(
    [theWorld(), other, theWorld(), other].map(async (world) => {
      const { taskId, imageId } = await queueImage(database());
      for (let end = 40_000; end <= data.length; end += 40_000) {
        const { frames, upload } = await startHalfOpen(world, taskId, data, end);
        frames.fail();
        await failureOf(upload);
      }
      await resumeAndFinish(world, taskId, data);
      await expectActive(world, imageId, data);
    }),
  );
  over.abort();
  await repairing;
});
