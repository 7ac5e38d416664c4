import { createHash, randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { defaultCaller } from '../../src/domain/caller.ts';
import type { DarkroomError } from '../../src/domain/darkroom-error.ts';
import type { TaskId } from '../../src/domain/ids.ts';
import { ImageService } from '../../src/images/image-service.ts';
import { ScriptedStream } from '../support/scripted-stream.ts';
import { CleanUps } from '../support/clean-ups.ts';
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

const cleanUps = new CleanUps();
let database: Database;

beforeAll(async () => {
  database = await connectTestDatabase(cleanUps.defer);
});

afterAll(cleanUps.run);

const half = randomBytes(150_000);
const rest = randomBytes(90_000);
const whole = Buffer.concat([half, rest]);

/** A stream that has sent its header and the first half, and hangs. */
async function hangingUpload(world: UploadWorld, taskId: TaskId, epoch?: number) {
  const stream = new ScriptedStream();
  stream.send(header(taskId, epoch));
  stream.send(chunk(0, half));
  const outcome = world.uploads
    .receive(defaultCaller, stream, connection())
    .catch((error: unknown) => error as DarkroomError);
  await stream.waitsForMore;
  return { stream, outcome };
}

test('a resume ends the older stream at once, even one that hangs half-open', async () => {
  const world = await openUploadWorld(database);
  const { taskId } = await queueImage(database);
  const { outcome } = await hangingUpload(world, taskId);
  const { writerEpoch } = await world.uploads.resume(defaultCaller, taskId, 'the new one');
  world.tellChange(taskId);
  expect(await outcome).toMatchObject({
    reason: 'WRITER_FENCED',
    metadata: { writer_epoch: String(writerEpoch) },
  });
});

test('none of the older writer’s bytes land, also when another process serves it and nobody tells it', async () => {
  const old = await openUploadWorld(database);
  const young = await openUploadWorld(database, { folder: old.folder });
  const { imageId, taskId } = await queueImage(database);
  const { stream, outcome } = await hangingUpload(old, taskId);

  const task = await young.uploads.resume(defaultCaller, taskId, 'the new one');
  stream.send(chunk(half.length, Buffer.alloc(50_000, 'spoilt')));
  stream.send(finish(half.length + 50_000));
  stream.end();
  expect(await outcome).toMatchObject({ reason: 'WRITER_FENCED' });

  const from = task.committedSize;
  const done = await young.uploads.receive(
    defaultCaller,
    framesOf(header(taskId, task.writerEpoch), chunk(from, whole.subarray(from)), finish(whole.length)),
    connection(),
  ); // prettier-ignore
  expect(done.complete).toBe(true);
  const { sha256 } = await readImage(database, imageId);
  expect(sha256).toBe(createHash('sha256').update(whole).digest('hex'));
});

test('a second stream without an epoch is refused, and told who has the upload and since when', async () => {
  const world = await openUploadWorld(database);
  const { taskId } = await queueImage(database);
  const { stream, outcome } = await hangingUpload(world, taskId);
  const since = (await readTask(database, taskId)).writerSince!.toISOString();
  await expect(
    world.uploads.receive(defaultCaller, framesOf(header(taskId)), connection()),
  ).rejects.toMatchObject({
    reason: 'WRITER_ACTIVE',
    message: expect.stringContaining(`by test at 127.0.0.1 since ${since}`),
    metadata: { writer: 'test at 127.0.0.1', since },
  });
  stream.end();
  expect(await outcome).toMatchObject({ complete: false, committedSize: half.length });
});

test('a writer whose process gives no sign of life any more does not block the next', async () => {
  const dead = await openUploadWorld(database);
  const next = await openUploadWorld(database, { folder: dead.folder });
  const { taskId } = await queueImage(database);
  const { stream, outcome } = await hangingUpload(dead, taskId);
  await database.pool.query(
    `update processes set heartbeat_time = now() - interval '11 s' where id = $1`,
    [dead.processId],
  );
  const { committedSize } = await readTask(database, taskId);
  const done = await next.uploads.receive(
    defaultCaller,
    framesOf(header(taskId), chunk(committedSize, whole.subarray(committedSize)), finish(whole.length)),
    connection(),
  ); // prettier-ignore
  expect(done).toMatchObject({ complete: true, writerEpoch: 2 });
  stream.send(chunk(half.length, rest));
  stream.end();
  expect(await outcome).toMatchObject({ reason: expect.stringMatching(/FENCED|TERMINAL/) });
});

test('an epoch is gone on with after its stream has ended, and its segment too', async () => {
  const world = await openUploadWorld(database);
  const { taskId } = await queueImage(database);
  const { writerEpoch } = await world.uploads.resume(defaultCaller, taskId, 'test');
  const first = await world.uploads.receive(
    defaultCaller,
    framesOf(header(taskId, writerEpoch), chunk(0, half)),
    connection(),
  );
  expect(first).toMatchObject({ complete: false, writerEpoch });
  const second = await world.uploads.receive(
    defaultCaller,
    framesOf(header(taskId, writerEpoch), chunk(half.length, rest), finish(whole.length)),
    connection(),
  );
  expect(second).toMatchObject({ complete: true, writerEpoch });
  const { rows } = await database.pool.query(
    `select length from blob_segments where blob_id = (
       select blob_id from images where latest_task_id = $1)`,
    [taskId],
  );
  expect(rows).toEqual([{ length: String(whole.length) }]);
});

test('what a fenced writer wrote is cut off when the image is published', async () => {
  const world = await openUploadWorld(database);
  const { imageId, taskId } = await queueImage(database);
  const { stream, outcome } = await hangingUpload(world, taskId);
  const { writerEpoch, committedSize } = await world.uploads.resume(defaultCaller, taskId, 'test');
  stream.send(chunk(half.length, Buffer.alloc(200_000, 7)));
  stream.end();
  await outcome;
  await world.uploads.receive(
    defaultCaller,
    framesOf(header(taskId, writerEpoch), chunk(committedSize, whole.subarray(committedSize)), finish(whole.length)),
    connection(),
  ); // prettier-ignore
  await world.repair.run();
  const { blobId } = await readImage(database, imageId);
  const { rows } = await database.pool.query<{ id: string; length: string }>(
    'select id, length from blob_segments where blob_id = $1',
    [blobId],
  );
  let held = 0;
  for (const { id, length } of rows) {
    const { size } = await stat(join(world.folder, id.slice(-2), id));
    expect(size).toBe(Number(length));
    held += size;
  }
  expect(held).toBe(whole.length);
});

test('bytes that were committed may come again, also across the end of what is there', async () => {
  const world = await openUploadWorld(database);
  const { taskId } = await queueImage(database);
  await world.uploads.receive(
    defaultCaller,
    framesOf(header(taskId), chunk(0, half)),
    connection(),
  );
  const done = await world.uploads.receive(
    defaultCaller,
    framesOf(
      header(taskId),
      chunk(0, whole.subarray(0, 70_000)),
      chunk(100_000, whole.subarray(100_000, 200_000)),
      chunk(100_000, whole.subarray(100_000, 200_000)),
      chunk(200_000, whole.subarray(200_000)),
      finish(whole.length),
    ),
    connection(),
  );
  expect(done).toMatchObject({ complete: true, committedSize: whole.length });
});

test('a hole may come again as zeros, and zeros as a hole', async () => {
  const world = await openUploadWorld(database);
  const { taskId } = await queueImage(database);
  const done = await world.uploads.receive(
    defaultCaller,
    framesOf(
      header(taskId),
      { kind: 'hole', offset: 0, length: 3_000_000 },
      chunk(0, Buffer.alloc(100_000)),
      chunk(3_000_000, Buffer.alloc(100_000)),
      { kind: 'hole', offset: 2_900_000, length: 250_000 },
      finish(3_150_000),
    ),
    connection(),
  );
  expect(done).toMatchObject({ complete: true, committedSize: 3_150_000 });
  expect((await readTask(database, taskId)).storedBytes).toBeLessThan(8192);
});

test('an upload that is done answers a client whose answer was lost as if for the first time', async () => {
  const world = await openUploadWorld(database);
  const { imageId, taskId } = await queueImage(database);
  const frames = () =>
    framesOf(header(taskId), chunk(0, half), chunk(half.length, rest), finish(whole.length));
  const first = await world.uploads.receive(defaultCaller, frames(), connection());
  expect(await world.uploads.receive(defaultCaller, frames(), connection())).toEqual(first);
  const onlyFinish = framesOf(header(taskId), finish(whole.length));
  expect(await world.uploads.receive(defaultCaller, onlyFinish, connection())).toEqual(first);
  const call = { taskId, writerEpoch: 1, finish: { totalSize: whole.length, sha256: undefined } };
  expect(
    await world.uploads.receiveCall(defaultCaller, { ...call, frame: undefined }, 'test'),
  ).toEqual(first);

  const altered = Buffer.from(half);
  altered[5] = (altered[5] ?? 0) ^ 1;
  for (const [frame, reason] of [
    [chunk(0, altered), 'REPLAY_MISMATCH'],
    [chunk(whole.length, rest), 'SIZE_EXCEEDED'],
    [finish(whole.length + 1), 'SIZE_SHORT'],
    [finish(whole.length, 'a'.repeat(64)), 'DIGEST_MISMATCH'],
  ] as const) {
    await expect(
      world.uploads.receive(defaultCaller, framesOf(header(taskId), frame), connection()),
    ).rejects.toMatchObject({ reason });
  }
  expect(await readTask(database, taskId)).toMatchObject({ state: 'SUCCEEDED', faultCount: 0 });

  const settings = { maxImageBytes: 1e9, taskIdleTimeoutMs: 1000 };
  await new ImageService({ database, settings }).deleteImage(defaultCaller, { imageId, etag: '' });
  const again = framesOf(header(taskId), finish(whole.length));
  expect(await world.uploads.receive(defaultCaller, again, connection())).toEqual(first);
  await expect(world.uploads.receive(defaultCaller, frames(), connection())).rejects.toMatchObject({
    reason: 'IMAGE_STATE_INVALID',
  });
});
