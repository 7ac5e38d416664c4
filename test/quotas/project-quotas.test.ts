import { randomBytes } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { defaultCaller, type Caller } from '../../src/access/caller.ts';
import { Database } from '../../src/database/database.ts';
import type { DarkroomError } from '../../src/domain/darkroom-error.ts';
import { imagesOn, newImage } from '../images/images-world.ts';
import { connectTestDatabase, openDatabase } from '../support/test-database.ts';
import {
  chunk,
  connection,
  failureOf,
  finish,
  framesOf,
  header,
  hole,
  openUploadWorld,
  queueImage,
  readFaults,
  readImage,
  readTask,
} from '../support/upload-world.ts';
import { countedAndTrue, quotasOn } from './quota-world.ts';

const project = defaultCaller.projectId;
const KiB = 1024;

/** Bytes without a zero, so that none of them become holes. */
const bytes = (length: number): Buffer => randomBytes(length).map((byte) => byte | 1) as Buffer;

const sized = (totalSize: number | undefined) =>
  newImage({}, { source: { kind: 'upload', totalSize, sha256: undefined } });

test('of 10,000 creates that race at the edge over several pools, exactly as many as are allowed succeed', async () => {
  const { database, url } = await openDatabase();
  await quotasOn(database).update(project, { images: 3000 }, undefined);
  const pools = await Promise.all(
    [1, 2, 3, 4].map(() => Database.connect({ url, poolSize: 4, onWarning: () => {} })),
  );
  onTestFinished(async () => void (await Promise.all(pools.map((pool) => pool.close()))));
  const services = pools.map((pool) => imagesOn(pool).images);
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10_000 }, async (_, i) =>
      services[i % services.length]!.createImage(defaultCaller, newImage()),
    ),
  );
  const refusals = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason as DarkroomError] : [],
  );
  expect(outcomes.length - refusals.length).toBe(3000);
  expect(new Set(refusals.map(({ reason }) => reason))).toEqual(new Set(['QUOTA_EXCEEDED']));
  for (const { metadata } of refusals) {
    expect(metadata).toMatchObject({
      quota: 'images',
      used: '3000',
      limit: '3000',
      requested: '1',
    });
  }
  const { counted, truth } = await countedAndTrue(database, project);
  expect(counted).toEqual(truth);
  expect(counted).toMatchObject({ images: 3000, live_tasks: 3000 });
}, 120_000);

test('a project that is full does not keep another one from creating in the same batch', async () => {
  const database = await connectTestDatabase();
  await quotasOn(database).update('full', { images: 1 }, undefined);
  const { images } = imagesOn(database);
  const caller = (projectId: string): Caller => ({ ...defaultCaller, projectId });
  const outcomes = await Promise.allSettled(
    Array.from({ length: 60 }, async (_, i) =>
      images.createImage(caller(i % 2 ? 'full' : 'roomy'), newImage()),
    ),
  );
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(31);
  expect(await quotasOn(database).get('roomy')).toMatchObject({ usage: { images: 30 } });
});

test('a request that is repeated is answered as before, though the quota is used up', async () => {
  const database = await connectTestDatabase();
  await quotasOn(database).update(project, { images: 1 }, undefined);
  const { images } = imagesOn(database);
  const request = newImage({}, { requestId: 'once' });
  const first = await images.createImage(defaultCaller, request);
  const again = await images.createImage(defaultCaller, request);
  expect(again.image.id).toBe(first.image.id);
  const both = await Promise.allSettled([
    images.createImage(defaultCaller, newImage()),
    images.createImage(defaultCaller, request),
  ]);
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
});

test('a declared size that has no room is refused before a byte travels', async () => {
  const database = await connectTestDatabase();
  await quotasOn(database).update(project, { stored_bytes: 1000 }, undefined);
  const { images } = imagesOn(database);
  const failure = await failureOf(images.createImage(defaultCaller, sized(1001)));
  expect(failure).toMatchObject({
    reason: 'QUOTA_EXCEEDED',
    metadata: { quota: 'stored_bytes', used: '0', limit: '1000', requested: '1001' },
  });
  await images.createImage(defaultCaller, sized(1000));
  await images.createImage(defaultCaller, sized(undefined));
});

test('an upload that meets the edge keeps its good prefix, and goes on when the quota is raised', async () => {
  const database = await connectTestDatabase();
  const quotas = quotasOn(database);
  const world = await openUploadWorld(database, { limits: { commitBytes: 64 * KiB } });
  await quotas.update(project, { stored_bytes: 300 * KiB }, undefined);
  const { imageId, taskId } = await queueImage(database);
  const content = bytes(512 * KiB);
  const part = 64 * KiB;
  // Each is committed before the next comes.
  async function* parts() {
    yield header(taskId);
    for (let offset = 0; offset < content.length; offset += part) {
      yield chunk(offset, content.subarray(offset, offset + part));
      const end = Math.min(offset + part, 256 * KiB);
      await expect.poll(async () => (await readTask(database, taskId)).committedSize).toBe(end);
    }
    yield finish(content.length);
  }
  const failure = await failureOf(world.uploads.receive(defaultCaller, parts(), connection()));
  expect(failure).toMatchObject({ reason: 'QUOTA_EXCEEDED', metadata: { quota: 'stored_bytes' } });

  const task = await readTask(database, taskId);
  expect(task).toMatchObject({ state: 'RUNNING', committedSize: 256 * KiB });
  expect((await readFaults(database, taskId)).at(-1)).toMatchObject({
    reason: 'QUOTA_EXCEEDED',
    fatal: false,
  });
  await quotas.update(project, { stored_bytes: 512 * KiB }, undefined);
  const rest = chunk(256 * KiB, content.subarray(256 * KiB, 384 * KiB));
  const last = chunk(384 * KiB, content.subarray(384 * KiB));
  await world.uploads.receive(
    defaultCaller,
    framesOf(header(taskId), rest, last, finish(content.length)),
    connection(),
  );
  expect(await readImage(database, imageId)).toMatchObject({ state: 'ACTIVE' });
  const { counted, truth } = await countedAndTrue(database, project);
  expect(counted).toEqual(truth);
  expect(counted).toMatchObject({ stored_bytes: 512 * KiB, in_flight_bytes: 0, live_tasks: 0 });
});

test('of uploads that race for the last bytes only those that fit become images', async () => {
  const database = await connectTestDatabase();
  await quotasOn(database).update(project, { stored_bytes: 25 * KiB }, undefined);
  const world = await openUploadWorld(database);
  const upload = async () => {
    const { taskId } = await queueImage(database);
    const content = bytes(10 * KiB);
    return world.uploads.receive(
      defaultCaller,
      framesOf(header(taskId), chunk(0, content), finish(content.length)),
      connection(),
    );
  };
  const outcomes = await Promise.allSettled([1, 2, 3, 4, 5].map(upload));
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
  const { counted, truth } = await countedAndTrue(database, project);
  expect(counted).toEqual(truth);
  expect(counted).toMatchObject({ stored_bytes: 20 * KiB });
});

test('zeros that are holes take up nothing', async () => {
  const database = await connectTestDatabase();
  await quotasOn(database).update(project, { stored_bytes: KiB }, undefined);
  const world = await openUploadWorld(database);
  const { taskId } = await queueImage(database);
  await world.uploads.receive(
    defaultCaller,
    framesOf(header(taskId), hole(0, 1024 * KiB), finish(1024 * KiB)),
    connection(),
  );
  expect(await quotasOn(database).get(project)).toMatchObject({ usage: { stored_bytes: 0 } });
});

test('a quota below what is used takes nothing away, and what is deleted makes room', async () => {
  const database = await connectTestDatabase();
  const quotas = quotasOn(database);
  const { images } = imagesOn(database);
  const made = await images.createImage(defaultCaller, newImage());
  await images.createImage(defaultCaller, newImage());
  const lowered = await quotas.update(project, { images: 1 }, undefined);
  expect(lowered).toMatchObject({ usage: { images: 2 }, limits: { images: 1 } });
  const remove = (imageId: string) => images.deleteImage(defaultCaller, { imageId, etag: '' });
  expect((await failureOf(images.createImage(defaultCaller, newImage()))).reason).toBe(
    'QUOTA_EXCEEDED',
  );
  await remove(made.image.id);
  expect((await failureOf(images.createImage(defaultCaller, newImage()))).metadata).toMatchObject({
    used: '1',
  });
  await quotas.update(project, { images: null }, undefined);
  await images.createImage(defaultCaller, newImage());
});

test('changes of a quota that race with one etag: one of them is made', async () => {
  const database = await connectTestDatabase();
  const quotas = quotasOn(database);
  const outcomes = await Promise.allSettled(
    [1, 2, 3, 4, 5, 6].map((images) => quotas.update(project, { images }, 0)),
  );
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  expect(await quotas.get(project)).toMatchObject({ version: 1 });
});

test('images that are made while a project begins to be counted are counted once', async () => {
  const database = await connectTestDatabase();
  const { images } = imagesOn(database);
  const quotas = quotasOn(database);
  const create = () => images.createImage(defaultCaller, newImage());
  const creates = Array.from({ length: 200 }, create);
  await creates[0];
  await quotas.update(project, { images: 1000 }, undefined);
  await Promise.all([...creates, ...Array.from({ length: 50 }, create)]);
  const { counted, truth } = await countedAndTrue(database, project);
  expect(counted).toEqual(truth);
  expect(counted).toMatchObject({ images: 250 });
});

test('limits of the settings hold for every project, those of before included', async () => {
  const database = await connectTestDatabase();
  const { images } = imagesOn(database);
  await images.createImage(defaultCaller, newImage());
  const quotas = quotasOn(database, { maxImagesPerProject: 2 });
  await quotas.start();
  await images.createImage(defaultCaller, newImage());
  expect((await failureOf(images.createImage(defaultCaller, newImage()))).reason).toBe(
    'QUOTA_EXCEEDED',
  );
  const other = { ...defaultCaller, projectId: 'other' };
  await quotas.ensureCounted('other');
  await images.createImage(other, newImage());
  await images.createImage(other, newImage());
  expect((await failureOf(images.createImage(other, newImage()))).reason).toBe('QUOTA_EXCEEDED');
  await quotas.update('other', { images: -1 }, undefined);
  await images.createImage(other, newImage());
});

test('what was counted wrongly is mended and told', async () => {
  const database = await connectTestDatabase();
  const quotas = quotasOn(database);
  await quotas.update(project, { images: 5 }, undefined);
  await imagesOn(database).images.createImage(defaultCaller, newImage());
  expect(await quotas.reconcile()).toBe(0);
  await database.pool.query('update project_quotas set images = 17');
  expect(await quotas.reconcile()).toBe(1);
  expect(await quotas.get(project)).toMatchObject({ usage: { images: 1 } });
});
