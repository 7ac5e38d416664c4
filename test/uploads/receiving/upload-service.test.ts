import { createHash, randomBytes } from 'node:crypto';
import { crc32c } from '@node-rs/crc32';
import { expect, test } from 'vitest';
import { defaultCaller } from '../../../src/access/caller.ts';
import type { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { connectTestDatabase } from '../../support/test-database.ts';
import {
  chunk,
  connection,
  finish,
  framesOf,
  header,
  download,
  openUploadWorld,
  queueImage,
  readImage,
  readTask,
} from '../../support/upload-world.ts';

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

test('an upload in one stream makes the image ACTIVE with its bytes and digest', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const { imageId, taskId } = await queueImage(world.database);
  const data = randomBytes(700_001);

  const outcome = await world.uploads.receive(
    defaultCaller,
    framesOf(
      header(taskId),
      chunk(0, data.subarray(0, 200_000), crc32c(data.subarray(0, 200_000))),
      chunk(200_000, data.subarray(200_000, 450_000)),
      chunk(450_000, data.subarray(450_000, 700_001)),
      finish(data.length, sha256(data)),
    ),
    connection(),
  );

  expect(outcome).toMatchObject({ complete: true, committedSize: data.length });
  expect(await readImage(world.database, imageId)).toMatchObject({
    state: 'ACTIVE',
    outlook: 'AVAILABLE',
    sizeBytes: data.length,
    sha256: sha256(data),
  });
  expect(await readTask(world.database, taskId)).toMatchObject({ state: 'SUCCEEDED' });
  expect(await download(world, imageId)).toEqual(data);
});

test('a stream that ends without a finish is gone on with in a later one', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const { imageId, taskId } = await queueImage(world.database);
  const data = Buffer.concat([randomBytes(100_000), Buffer.alloc(300_000), randomBytes(77)]);

  const first = await world.uploads.receive(
    defaultCaller,
    framesOf(header(taskId), chunk(0, data.subarray(0, 150_000))),
    connection(),
  );
  expect(first).toMatchObject({ complete: false, committedSize: 150_000, writerEpoch: 1 });

  const { writerEpoch } = await world.uploads.resume(defaultCaller, taskId, 'test');
  expect(writerEpoch).toBe(2);
  const second = await world.uploads.receive(
    defaultCaller,
    framesOf(
      header(taskId, writerEpoch),
      { kind: 'hole', offset: 150_000, length: 250_000 },
      chunk(400_000, data.subarray(400_000)),
      finish(data.length),
    ),
    connection(),
  );
  expect(second).toMatchObject({ complete: true, committedSize: data.length });
  expect((await readImage(world.database, imageId)).sha256).toBe(sha256(data));
  expect(await download(world, imageId)).toEqual(data);
  const task = await readTask(world.database, taskId);
  expect(task.storedBytes).toBeLessThan(160_000);
  expect(task.storedBytes).toBeGreaterThanOrEqual(100_077);
});

test('a wrong digest fails the task and never makes the image ACTIVE', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const { imageId, taskId } = await queueImage(world.database);
  const failure: DarkroomError = await world.uploads
    .receive(
      defaultCaller,
      framesOf(header(taskId), chunk(0, randomBytes(10)), finish(10, '0'.repeat(64))),
      connection(),
    )
    .then(
      () => expect.unreachable(),
      (error: DarkroomError) => error,
    );
  expect(failure.reason).toBe('DIGEST_MISMATCH');
  expect(await readTask(world.database, taskId)).toMatchObject({
    state: 'FAILED',
    faultCount: 1,
    phase: 'VERIFYING',
  });
  expect(await readImage(world.database, imageId)).toMatchObject({
    state: 'QUEUED',
    outlook: 'NOT_COMING',
  });
});
