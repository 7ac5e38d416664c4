import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Image_State } from '../../../gen/darkroom/v1/image_pb.ts';
import { startService, type RunningService } from '../../support/running-service.ts';
import { makeUpload } from './fixtures.ts';
import { holdPut, imageState, put, putChunked, untilStored } from './put-fixtures.ts';

const MiB = 1024 * 1024;
let service: RunningService;
let auditFile: string;
const cleanUps: (() => Promise<void>)[] = [];
beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'darkroom-put-limits-'));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  auditFile = join(folder, 'audit.log');
  const env = {
    DARKROOM_AUDIT_FILE: auditFile,
    DARKROOM_MAX_IMAGE_BYTES: String(3 * MiB),
    DARKROOM_MAX_STORED_BYTES_PER_PROJECT: String(4 * MiB),
    DARKROOM_MAX_UPLOADS_PER_PROJECT: '1',
  };
  service = await startService(env, (cleanUp) => cleanUps.push(cleanUp));
});
afterAll(async () => {
  for (const cleanUp of cleanUps.toReversed()) {
    await cleanUp();
  }
});

async function newImage() {
  const { imageId, taskId } = await makeUpload(service);
  return { imageId, taskId, path: `/v2/images/${imageId}/file` };
}

test('an image that is too large is refused, before its bytes where it says so', async () => {
  const { imageId, path } = await newImage();
  const large = randomBytes(3 * MiB + 1);
  expect(await put(service, path, large)).toMatchObject({ status: 413, reason: 'SIZE_EXCEEDED' });
  expect((await imageState(service, imageId))?.lastFault).toBeUndefined();
  expect(await putChunked(service, path, large)).toMatchObject({
    status: 413,
    reason: 'SIZE_EXCEEDED',
  });
  expect(await imageState(service, imageId)).toMatchObject({
    state: Image_State.QUEUED,
    lastFault: { reason: 'SIZE_EXCEEDED' },
  });
  await service.images.deleteImage({ imageId });
});

test('more than the project may store is refused, and what there is room for can be gone on with', async () => {
  const first = await newImage();
  expect(await put(service, first.path, randomBytes(3 * MiB))).toMatchObject({ status: 204 });
  const { imageId, path } = await newImage();
  const bytes = randomBytes(2 * MiB);
  const refused = await put(service, path, bytes);
  expect(refused).toMatchObject({ status: 413, reason: 'QUOTA_EXCEEDED' });
  expect(await imageState(service, imageId)).toMatchObject({ state: Image_State.QUEUED });
  await service.images.deleteImage({ imageId: first.imageId });
  await expect
    .poll(async () => (await put(service, path, bytes)).status, { timeout: 30_000, interval: 200 })
    .toBe(204);
  await service.images.deleteImage({ imageId });
});

test('more uploads at the same time than the project may have are refused', async () => {
  const [first, second] = [await newImage(), await newImage()];
  const held = holdPut(service, first.path);
  await held.send(randomBytes(MiB));
  await untilStored(service, first.path, MiB);
  expect(await put(service, second.path, randomBytes(1000))).toMatchObject({
    status: 429,
    reason: 'TOO_MANY_UPLOADS',
    headers: { 'retry-after': '5' },
  });
  held.end();
  expect(await held.answer).toMatchObject({ status: 204 });
  expect(await put(service, second.path, randomBytes(1000))).toMatchObject({ status: 204 });
});

test('each is in the audit log, with its image and its task', async () => {
  const { imageId, taskId, path } = await newImage();
  await put(service, path, randomBytes(10));
  await put(service, path, randomBytes(11));
  const lines = async () =>
    (await readFile(auditFile, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => String(line['call']).startsWith('PUT ') && line['image_id'] === imageId);
  await expect.poll(async () => (await lines()).length, { timeout: 20_000 }).toBe(2);
  expect(await lines()).toMatchObject([
    { code: 204, task_id: taskId, project: 'default' },
    { task_id: taskId, reason: 'SIZE_EXCEEDED' },
  ]);
});
