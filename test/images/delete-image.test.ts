import { expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import { newId, type BlobId, type ImageId, type TaskId } from '../../src/records/ids.ts';
import { etagOf } from '../../src/records/image-etag.ts';
import { Image } from '../../src/records/image.ts';
import { Blob } from '../../src/records/blob.ts';
import { Fault } from '../../src/records/fault.ts';
import { TaskEvent } from '../../src/records/task-event.ts';
import { TaskLedger } from '../../src/tasks/ledger/task-ledger.ts';
import { Task } from '../../src/records/task.ts';
import { alice, change, failureOf, newImage, useImages, openOwnImages } from './images-world.ts';

const openImages = useImages();

async function blobStates(database: Database): Promise<string[]> {
  return (await database.fork().find(Blob, {})).map(({ state }) => state);
}

/** Ends the task as an upload would, so that the image has bytes. */
async function publish(ledger: TaskLedger, taskId: TaskId): Promise<void> {
  await ledger.change(taskId, undefined, async (entry) => {
    entry.start('RECEIVING', 'test');
    const blobId = entry.task.blobId ?? newId<BlobId>();
    await entry.em.nativeUpdate(Blob, { id: blobId }, { state: 'PUBLISHED' });
    entry.task.blobId = null;
    Object.assign(entry.image, {
      state: 'ACTIVE',
      outlook: 'AVAILABLE',
      blobId,
      sizeBytes: 0,
      sha256: '0'.repeat(64),
    });
    entry.touchImage();
    entry.succeed('test');
  });
}

/** Makes the next attempt, under the guard that the state machine asks for. */
async function retry(ledger: TaskLedger, taskId: TaskId): Promise<TaskId> {
  return ledger.change(taskId, undefined, (entry) => {
    if (entry.image.state !== 'QUEUED') {
      throw new DarkroomError('IMAGE_STATE_INVALID', 'test');
    }
    return entry.retry(null, alice, true, 'test').id;
  });
}

test('a QUEUED image goes with its live task and the task’s bytes', async () => {
  let releases = 0;
  const { database, images } = await openOwnImages(() => (releases += 1));
  const { image, task } = await images.createImage(alice, newImage());
  const before = etagOf(image);

  const deleted = await images.deleteImage(alice, { imageId: image.id, etag: before });

  expect(deleted.image).toMatchObject({ state: 'DELETED', outlook: 'NOT_COMING', blobId: null });
  expect(deleted.image.deleteTime).toEqual(deleted.image.updateTime);
  expect(deleted.lastFault).toMatchObject({ reason: 'IMAGE_DELETED', fatal: true });
  expect(etagOf(deleted.image)).not.toBe(before);
  expect(releases).toBe(1);
  const em = database.fork();
  expect(await em.findOneOrFail(Task, { id: task?.task.id as TaskId })).toMatchObject({
    state: 'FAILED',
    blobId: null,
    expireTime: null,
    faultCount: 1,
    lastFaultId: deleted.lastFault?.id,
    revision: 2,
  });
  expect(await em.find(TaskEvent, { revision: 2 })).toMatchObject([
    { kind: 'FAULT', state: 'FAILED', faultId: deleted.lastFault?.id },
  ]);
  expect(await blobStates(database)).toEqual(['DELETING']);
  expect(await images.getImage(alice, image.id)).toMatchObject({
    image: { state: 'DELETED', version: deleted.image.version },
    lastFault: { reason: 'IMAGE_DELETED' },
  });
});

test('an ACTIVE image goes with its published bytes; its task stays SUCCEEDED', async () => {
  const { database, images } = await openOwnImages();
  const { image, task } = await images.createImage(alice, newImage());
  await publish(new TaskLedger(database), task?.task.id as TaskId);
  const { image: deleted } = await images.deleteImage(alice, { imageId: image.id, etag: '' });
  expect(deleted).toMatchObject({ state: 'DELETED', blobId: null, sizeBytes: 0 });
  expect(await database.fork().find(Task, {})).toMatchObject([
    { state: 'SUCCEEDED', faultCount: 0 },
  ]);
  expect(await blobStates(database)).toEqual(['DELETING']);
});

test('bytes that a failed attempt kept for a retry go too', async () => {
  const { database, images } = await openOwnImages();
  const ledger = new TaskLedger(database);
  const { image, task } = await images.createImage(alice, newImage());
  const first = task?.task.id as TaskId;
  await ledger.change(first, alice, (entry) => entry.cancel('test'));
  const second = await ledger.change(
    first,
    alice,
    (entry) => entry.retry(null, alice, false, 'test').id,
  );
  await ledger.change(second, alice, (entry) => entry.cancel('test'));
  expect(await blobStates(database)).toEqual(['STAGED', 'STAGED']);

  await images.deleteImage(alice, { imageId: image.id, etag: '' });

  expect(await blobStates(database)).toEqual(['DELETING', 'DELETING']);
  expect(await database.fork().find(Task, { blobId: { $ne: null } })).toEqual([]);
  expect(await database.fork().find(Fault, {})).toEqual([]);
});

test('deleting a deleted image answers as the first time, with the old etag too', async () => {
  let releases = 0;
  const { images } = openImages(() => (releases += 1));
  const { image } = await images.createImage(alice, newImage());
  const request = { imageId: image.id, etag: etagOf(image) };
  const first = await images.deleteImage(alice, request);
  const again = await images.deleteImage(alice, request);
  expect(again.image).toMatchObject({
    version: first.image.version,
    deleteTime: first.image.deleteTime,
  });
  expect(again.lastFault?.id).toBe(first.lastFault?.id);
  expect(releases).toBe(1);
});

test('a stale etag keeps the image', async () => {
  const { database, images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  const stale = etagOf(image);
  await images.updateImage(alice, change(image.id, { name: 'new' }));
  const error = await failureOf(images.deleteImage(alice, { imageId: image.id, etag: stale }));
  expect(error.reason).toBe('ETAG_MISMATCH');
  expect(await database.fork().findOneOrFail(Image, { id: image.id })).toMatchObject({
    state: 'QUEUED',
  });
});

test('a task whose time had passed before has failed of that', async () => {
  const { database, images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  await database.pool.query(
    `update tasks set expire_time = now() - interval '1 s' where image_id = $1`,
    [image.id],
  );
  const { lastFault } = await images.deleteImage(alice, { imageId: image.id, etag: '' });
  expect(lastFault?.reason).toBe('TASK_EXPIRED');
});

test('a fault that was pruned is no longer told', async () => {
  const { database, images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  await images.deleteImage(alice, { imageId: image.id, etag: '' });
  await database.pool.query('delete from tasks');
  expect((await images.getImage(alice, image.id)).lastFault).toBeUndefined();
});

test('deletes, updates, cancels, retries and finishes at the same time never deadlock', async () => {
  const { database, images } = await openOwnImages();
  const ledger = new TaskLedger(database);
  for (let round = 0; round < 8; round++) {
    const { image, task } = await images.createImage(alice, newImage());
    const taskId = task?.task.id as TaskId;
    const remove = (): Promise<unknown> =>
      images.deleteImage(alice, { imageId: image.id, etag: '' });
    const outcomes = await Promise.allSettled([
      publish(ledger, taskId),
      remove(),
      ledger.change(taskId, alice, (entry) => entry.cancel('test')),
      images.updateImage(alice, change(image.id, { name: `n${round}` })),
      remove(),
      retry(ledger, taskId),
      remove(),
    ]);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') {
        expect(outcome.reason).toMatchObject({
          reason: expect.stringMatching(
            /^(TASK_TERMINAL|TASK_STATE_INVALID|IMAGE_STATE_INVALID)$/,
          ) as string,
        });
      }
    }
    expect(await blobsInUse(database, image.id)).toEqual([]);
  }
  expect(new Set(await blobStates(database))).toEqual(new Set(['DELETING']));
});

async function blobsInUse(database: Database, imageId: ImageId): Promise<unknown[]> {
  const { rows } = await database.pool.query(
    `select blob_id from images where id = $1 and (state <> 'DELETED' or blob_id is not null)
     union all select blob_id from tasks
      where image_id = $1 and (blob_id is not null or state in ('PENDING', 'RUNNING'))`,
    [imageId],
  );
  return rows;
}
