import { createHash, randomBytes } from 'node:crypto';
import { readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { defaultCaller } from '../../src/domain/caller.ts';
import { newId, type SegmentId, type TaskId } from '../../src/domain/ids.ts';
import { Fault } from '../../src/tasks/fault.ts';
import { ScriptedStream } from '../support/scripted-stream.ts';
import { connectTestDatabase } from '../support/test-database.ts';
import {
  chunk,
  connection,
  finish,
  framesOf,
  header,
  openUploadWorld,
  queueImage,
  readImage,
  readTask,
  type UploadWorld,
} from '../support/upload-world.ts';

const bytes = randomBytes(120_000);

/** An image of which the first bytes are committed. */
async function begun(world: UploadWorld) {
  const ids = await queueImage(world.database);
  const frames = framesOf(header(ids.taskId), chunk(0, bytes));
  await world.uploads.receive(defaultCaller, frames, connection());
  const { rows } = await world.database.pool.query<{ id: SegmentId }>(
    'select blob_segments.id from blob_segments join tasks using (blob_id) where tasks.id = $1',
    [ids.taskId],
  );
  return { ...ids, file: pathOf(world, rows[0]!.id) };
}

function pathOf(world: UploadWorld, id: string): string {
  return join(world.folder, id.slice(-2), id);
}

async function filesOf(world: UploadWorld): Promise<string[]> {
  const shards = await readdir(world.folder);
  return (await Promise.all(shards.map((name) => readdir(join(world.folder, name))))).flat();
}

async function lastFault(database: Database, taskId: TaskId): Promise<Fault | null> {
  return database.fork().findOne(Fault, { taskId }, { orderBy: { sequence: 'desc' } });
}

const nothing = {
  filesRemoved: 0,
  blobsReleased: 0,
  segmentsRemoved: 0,
  tasksFailed: 0,
  writersDetached: 0,
  finishesTakenUp: 0,
  stepsFailed: 0,
};

test('where all is well a repair does nothing', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  await begun(world);
  expect(await world.repair.run()).toEqual(nothing);
  expect(await filesOf(world)).toHaveLength(1);
});

test('a file that no segment owns goes, and only that', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  await begun(world);
  const stray = newId<SegmentId>();
  await writeFile(pathOf(world, stray), 'left behind');
  expect(await world.repair.run()).toEqual({ ...nothing, filesRemoved: 1 });
  expect(await filesOf(world)).toHaveLength(1);
  expect(await world.repair.run()).toEqual(nothing);
});

test('a task whose committed bytes the store has lost fails and says so', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const cut = await begun(world);
  const gone = await begun(world);
  await truncate(cut.file, 1000);
  await rm(gone.file);
  expect(await world.repair.run()).toEqual({ ...nothing, tasksFailed: 2 });
  for (const { taskId } of [cut, gone]) {
    expect(await readTask(world.database, taskId)).toMatchObject({ state: 'FAILED' });
    expect(await lastFault(world.database, taskId)).toMatchObject({
      reason: 'STORED_BYTES_LOST',
      fatal: true,
      offset: bytes.length,
    });
  }
});

test('a file that is longer than its row is cut back by the next writer of its epoch', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const { imageId, taskId, file } = await begun(world);
  await writeFile(file, Buffer.alloc(5000, 'never acknowledged'), { flag: 'a' });
  const done = await world.uploads.receive(
    defaultCaller,
    framesOf(header(taskId, 1), chunk(bytes.length, bytes), finish(2 * bytes.length)),
    connection(),
  );
  expect(done.complete).toBe(true);
  expect((await readImage(world.database, imageId)).sha256).toBe(
    createHash('sha256').update(bytes).update(bytes).digest('hex'),
  );
});

test('writers that came and went without a byte leave nothing behind', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const { taskId } = await queueImage(world.database);
  for (let writer = 0; writer < 3; writer++) {
    const { writerEpoch } = await world.uploads.resume(defaultCaller, taskId, 'test');
    const frames = framesOf(header(taskId, writerEpoch));
    await world.uploads.receive(defaultCaller, frames, connection());
  }
  expect(await world.repair.run()).toEqual({ ...nothing, segmentsRemoved: 2 });
  expect(await filesOf(world)).toHaveLength(1);
});

test('a finish that was received before its process died completes by itself', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const { imageId, taskId } = await begun(world);
  // As the finish leaves it, when the process dies before it has checked the bytes.
  await world.ledger.change(taskId, undefined, (entry) => {
    entry.task.finishSize = bytes.length;
    entry.task.finishSha256 = createHash('sha256').update(bytes).digest('hex');
    entry.enterPhase('VERIFYING', 'test');
  });
  expect(await world.repair.run()).toEqual({ ...nothing, finishesTakenUp: 1 });
  await world.repair.settle();
  expect(await readImage(world.database, imageId)).toMatchObject({ state: 'ACTIVE' });
  expect(await readTask(world.database, taskId)).toMatchObject({ state: 'SUCCEEDED' });
  expect(await world.repair.run()).toEqual(nothing);
});

test('a finish whose digest was wrong fails by itself', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const { imageId, taskId } = await begun(world);
  await world.ledger.change(taskId, undefined, (entry) => {
    entry.task.finishSize = bytes.length;
    entry.task.finishSha256 = '0'.repeat(64);
    entry.enterPhase('VERIFYING', 'test');
  });
  await world.repair.run();
  await world.repair.settle();
  expect(await lastFault(world.database, taskId)).toMatchObject({ reason: 'DIGEST_MISMATCH' });
  expect(await readImage(world.database, imageId)).toMatchObject({ outlook: 'NOT_COMING' });
});

test('a writer that this process is said to have and does not is detached, with a fault', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const { taskId } = await begun(world);
  await world.database.pool.query(
    `update tasks set writer_process_id = $1, writer_peer = 'lost', writer_since = now() where id = $2`,
    [world.processId, taskId],
  );
  expect(await world.repair.run()).toEqual({ ...nothing, writersDetached: 1 });
  expect(await readTask(world.database, taskId)).toMatchObject({
    state: 'RUNNING',
    writerProcessId: null,
  });
  expect(await lastFault(world.database, taskId)).toMatchObject({
    reason: 'SERVICE_LOST',
    fatal: false,
    offset: bytes.length,
  });
});

test('an upload that is under way is left alone', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const { taskId } = await queueImage(world.database);
  const stream = new ScriptedStream();
  stream.send(header(taskId));
  stream.send(chunk(0, bytes));
  const upload = world.uploads.receive(defaultCaller, stream, connection());
  await stream.waitsForMore;
  expect(await world.repair.run()).toEqual(nothing);
  stream.send(finish(bytes.length));
  stream.end();
  expect(await upload).toMatchObject({ complete: true });
});

test('the bytes of a failed task wait for a retry, and go when nobody came in time', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const { taskId } = await begun(world);
  await world.ledger.change(taskId, undefined, (entry) => entry.cancel('test'));
  expect(await world.repair.run()).toEqual(nothing);
  await world.database.pool.query(
    `update tasks set finish_time = now() - interval '61 s' where id = $1`,
    [taskId],
  );
  expect(await world.repair.run()).toEqual({ ...nothing, blobsReleased: 1 });
  expect(await filesOf(world)).toEqual([]);
  const { rows } = await world.database.pool.query('select from blobs');
  expect(rows).toEqual([]);
});
