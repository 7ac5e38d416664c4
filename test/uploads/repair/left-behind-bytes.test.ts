import { createHash, randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { defaultCaller } from '../../../src/access/caller.ts';
import type { SegmentId } from '../../../src/records/ids.ts';
import { connectTestDatabase } from '../../support/test-database.ts';
import {
  chunk,
  connection,
  finish,
  framesOf,
  header,
  openUploadWorld,
  queueImage,
  readImage,
  type UploadWorld,
} from '../../support/upload-world.ts';

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

const nothing = {
  filesRemoved: 0,
  blobsReleased: 0,
  segmentsRemoved: 0,
  tasksFailed: 0,
  writersDetached: 0,
  finishesTakenUp: 0,
  stepsFailed: 0,
};

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
