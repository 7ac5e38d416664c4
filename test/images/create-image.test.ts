import { randomUUID } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { Database } from '../../src/database/database.ts';
import type { TaskId } from '../../src/records/ids.ts';
import { Image } from '../../src/records/image.ts';
import { Blob } from '../../src/records/blob.ts';
import { TaskEvent } from '../../src/records/task-event.ts';
import { Task } from '../../src/records/task.ts';
import { observed } from '../support/observed-database.ts';
import { openDatabase } from '../support/test-database.ts';
import {
  alice,
  bob,
  failureOf,
  imagesOn,
  newImage,
  openOwnImages,
  useImages,
} from './images-world.ts';

const openImages = useImages();

const sha256 = 'ABCDEF0123456789'.repeat(4);

test('a new image is QUEUED and EXPECTED, with a PENDING task, its first event and an empty blob', async () => {
  const { database, images } = await openOwnImages();
  const created = await images.createImage(
    alice,
    newImage(
      {
        name: 'Ubuntu 26.04 “Lts” \\ \' " ? $1 %',
        diskFormat: 'QCOW2',
        containerFormat: 'OVA',
        minDiskBytes: Number.MAX_SAFE_INTEGER,
        minRamBytes: 1,
        properties: { 'os\\"type': "it's\nlinux?", ['__proto__']: 'x' },
        tags: ['b', 'a,"{}\\', "'"],
        visibility: 'PUBLIC',
      },
      {
        source: { kind: 'upload', totalSize: 0, sha256 },
        idleTimeoutMs: 1000.25,
        requestId: ' ~',
      },
    ),
  );

  const em = database.fork();
  const image = await em.findOneOrFail(Image, { id: created.image.id });
  expect(image).toMatchObject({
    projectId: 'darkroom-a',
    createdBy: 'alice',
    name: 'Ubuntu 26.04 “Lts” \\ \' " ? $1 %',
    diskFormat: 'QCOW2',
    containerFormat: 'OVA',
    state: 'QUEUED',
    outlook: 'EXPECTED',
    minDiskBytes: Number.MAX_SAFE_INTEGER,
    minRamBytes: 1,
    tags: ['b', 'a,"{}\\', "'"],
    visibility: 'PUBLIC',
    sizeBytes: null,
    sha256: null,
    latestTaskId: created.task?.task.id,
    version: 1,
  });
  expect(new Map(Object.entries(image.properties))).toEqual(
    new Map([
      ['os\\"type', "it's\nlinux?"],
      ['__proto__', 'x'],
    ]),
  );
  const task = await em.findOneOrFail(Task, { imageId: image.id });
  expect(task).toMatchObject({
    id: created.task?.task.id,
    projectId: 'darkroom-a',
    createdBy: 'alice',
    requestId: ' ~',
    type: 'UPLOAD',
    state: 'PENDING',
    phase: 'WAITING_FOR_DATA',
    expectedSize: 0,
    expectedSha256: sha256.toLowerCase(),
    idleTimeoutMs: 1001,
    attempt: 1,
    revision: 1,
  });
  expect(task.expireTime?.getTime()).toBe(task.createTime.getTime() + 1001);
  expect(await em.find(TaskEvent, { taskId: task.id })).toMatchObject([
    { revision: 1, kind: 'CREATED', state: 'PENDING' },
  ]);
  expect(await em.find(Blob, {})).toMatchObject([{ id: task.blobId, state: 'STAGED' }]);
});

test('what is not set has its default', async () => {
  const { images } = openImages();
  const { image, task } = await images.createImage(alice, newImage());
  expect(image).toMatchObject({ containerFormat: 'BARE', visibility: 'PRIVATE' });
  expect(task?.task).toMatchObject({ idleTimeoutMs: 60_000, expectedSize: null, requestId: null });
});

test('a snapshot has a task with the labels', async () => {
  const { images } = openImages();
  const labels = { instance: '8b3e', 'a.b/c': '' };
  const { task } = await images.createImage(
    alice,
    newImage({}, { source: { kind: 'snapshot', totalSize: 10, sha256: undefined, labels } }),
  );
  expect(task?.task).toMatchObject({ type: 'SNAPSHOT', labels, expectedSize: 10 });
});

test('the same request 20 times at once makes one image, and each gets it', async () => {
  const { database, images } = await openOwnImages();
  const answers = await Promise.all(
    Array.from({ length: 20 }, () =>
      images.createImage(alice, newImage({ tags: ['x'] }, { requestId: 'once' })),
    ),
  );
  expect(new Set(answers.map(({ image }) => image.id)).size).toBe(1);
  expect(new Set(answers.map(({ task }) => task?.task.id)).size).toBe(1);
  const em = database.fork();
  expect(await em.count(Image)).toBe(1);
  expect(await em.count(Task)).toBe(1);
  expect(await em.count(Blob)).toBe(1);
});

test('without a request id every request makes an image', async () => {
  const { images } = openImages();
  const first = await images.createImage(alice, newImage());
  const second = await images.createImage(alice, newImage());
  expect(second.image.id).not.toBe(first.image.id);
});

test('a repeated request gets the image as it is now, and the first task', async () => {
  const { database, images } = await openOwnImages();
  const request = newImage(
    { properties: { a: '1', b: '2' } },
    { requestId: 'r', source: { kind: 'upload', totalSize: 5, sha256 } },
  );
  const first = await images.createImage(alice, request);
  await images.deleteImage(alice, { imageId: first.image.id, etag: '' });

  const again = await images.createImage(alice, {
    ...request,
    image: { ...request.image, properties: { b: '2', a: '1' } },
    source: { kind: 'upload', totalSize: 5, sha256: sha256.toLowerCase() },
  });
  expect(again.image).toMatchObject({ id: first.image.id, state: 'DELETED' });
  expect(again.lastFault).toMatchObject({ reason: 'IMAGE_DELETED' });
  expect(again.task).toMatchObject({
    task: { id: first.task?.task.id, state: 'FAILED' },
    lastFault: { reason: 'IMAGE_DELETED' },
  });

  await database.pool.query('delete from tasks');
  const later = await images.createImage(alice, request);
  expect(later.image.id).toBe(first.image.id);
  expect(later.lastFault).toBeUndefined();
  expect(later.task).toBeUndefined();
});

test('a request id belongs to its project', async () => {
  const { images } = openImages();
  const a = await images.createImage(alice, newImage({}, { requestId: 'r' }));
  const b = await images.createImage(bob, newImage({ name: 'other' }, { requestId: 'r' }));
  expect(b.image.id).not.toBe(a.image.id);
});

test.each([
  ['name', newImage({ name: 'other' })],
  ['disk format', newImage({ diskFormat: 'ISO' })],
  ['container format', newImage({ containerFormat: 'OVF' })],
  ['min disk', newImage({ minDiskBytes: 1 })],
  ['min ram', newImage({ minRamBytes: 1 })],
  ['properties', newImage({ properties: { a: 'b' } })],
  ['tags', newImage({ tags: ['a'] })],
  ['visibility', newImage({ visibility: 'SHARED' })],
  ['size', newImage({}, { source: { kind: 'upload', totalSize: 0, sha256: undefined } })],
  ['sha256', newImage({}, { source: { kind: 'upload', totalSize: undefined, sha256 } })],
  [
    'source',
    newImage(
      {},
      { source: { kind: 'snapshot', totalSize: undefined, sha256: undefined, labels: {} } },
    ),
  ],
  ['idle timeout', newImage({}, { idleTimeoutMs: 60_000 })],
])('the same request id with another %s is refused', async (_, other) => {
  const { images } = openImages();
  const requestId = randomUUID();
  const { image } = await images.createImage(alice, newImage({}, { requestId }));
  const error = await failureOf(images.createImage(alice, { ...other, requestId }));
  expect(error).toMatchObject({ reason: 'REQUEST_ID_REUSED', metadata: { image_id: image.id } });
});

test('images that are made at the same time are made by one statement, each with rows of its own', async () => {
  const { database } = await openOwnImages();
  const { watched, names } = observed(database);
  const { images } = imagesOn(watched);
  const names20 = Array.from({ length: 20 }, (_, i) => `image ${i}`);
  const answers = await Promise.all(
    names20.map((name, i) =>
      images.createImage(alice, newImage({ name }, { requestId: i % 2 === 0 ? '' : name })),
    ),
  );
  expect(names).toEqual(['create images']);
  expect(answers.map(({ image }) => image.name)).toEqual(names20);
  const em = database.fork();
  for (const { image, task } of answers) {
    expect(await em.findOneOrFail(Image, { id: image.id })).toMatchObject({ ...image });
    expect(await em.findOneOrFail(Task, { imageId: image.id })).toMatchObject({ ...task?.task });
    expect(await em.count(TaskEvent, { taskId: task?.task.id as TaskId })).toBe(1);
  }
  expect(await em.count(Blob)).toBe(20);
});

test('two processes that are asked for the same at the same time make each image once', async () => {
  const { database, url } = await openDatabase();
  const other = await Database.connect({ url, poolSize: 8, onWarning: console.warn });
  onTestFinished(() => other.close());
  const ids = Array.from({ length: 30 }, (_, i) => `request ${i}`);
  const create = (on: Database, requestIds: readonly string[]) =>
    Promise.all(
      requestIds.map((requestId) =>
        imagesOn(on).images.createImage(alice, newImage({}, { requestId })),
      ),
    );
  const [some, others] = await Promise.all([
    create(database, ids),
    create(other, ids.toReversed()),
  ]);
  expect(others.toReversed().map(({ image }) => image.id)).toEqual(
    some.map(({ image }) => image.id),
  );
  expect(await database.fork().count(Image)).toBe(30);
  expect(await database.fork().count(Task)).toBe(30);
});

test('a request that is repeated, since its answer was lost with the connection, makes nothing new', async () => {
  const { database } = await openOwnImages();
  let isLost = false;
  const { watched } = observed(database, () => {
    if (!isLost) {
      isLost = true;
      throw new Error('Connection terminated unexpectedly');
    }
  });
  const { images } = imagesOn(watched);
  const request = newImage({}, { requestId: 'once' });
  await expect(images.createImage(alice, request)).rejects.toThrow('Connection terminated');
  const { image } = await images.createImage(alice, request);
  expect(await database.fork().find(Image, {})).toMatchObject([{ id: image.id }]);
});

test('of different requests with one id at the same time, one wins and the others are refused', async () => {
  const { images } = await openOwnImages();
  const outcomes = await Promise.allSettled(
    Array.from({ length: 8 }, (_, i) =>
      images.createImage(alice, newImage({ name: `image ${i}` }, { requestId: 'r' })),
    ),
  );
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') {
      expect(outcome.reason).toMatchObject({ reason: 'REQUEST_ID_REUSED' });
    }
  }
});
