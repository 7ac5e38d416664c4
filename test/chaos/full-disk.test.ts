import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { failureOf } from '../support/failures.ts';
import { holdUpload, patience, untilCommitted } from '../support/held-upload.ts';
import {
  connectTo,
  downloadBytes,
  uploadFrames,
  type RunningService,
} from '../support/running-service.ts';
import { makeDataDir, startServiceProcess } from '../support/service-process.ts';
import { createTestDatabase } from '../support/test-database.ts';
import { bindFolder, canMount, mountDisk, unmount } from './limited-disk.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

type Clients = Pick<RunningService, 'images' | 'tasks'>;

interface World extends Clients {
  readonly url: string;
  /** The folder of the segments. */
  readonly blobs: string;
}

/** A service whose folder of segments is what `mount` makes of it; unmounted whatever happens. */
async function startOn(mount: (blobs: string) => void): Promise<World> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const dataDir = await makeDataDir();
  const blobs = join(dataDir.path, 'blobs');
  onTestFinished(async () => {
    while (unmount(blobs)) {
      // Of several mounts one over the other, the next.
    }
    await dataDir.remove();
  });
  mount(blobs);
  const service = await startServiceProcess({
    dataDir: dataDir.path,
    databaseUrl: database.url,
    env: { DARKROOM_COMMIT_INTERVAL_MS: '30', DARKROOM_REPAIR_INTERVAL_MS: '1000' },
  });
  onTestFinished(async () => void (await service.kill('SIGKILL')));
  return { ...connectTo(service.url), url: service.url, blobs };
}

interface Upload {
  readonly imageId: string;
  readonly taskId: string;
}

async function createUpload({ images }: Clients, name: string): Promise<Upload> {
  const { image, task } = await images.createImage({
    image: { name, diskFormat: Image_DiskFormat.RAW },
    source: { case: 'upload', value: {} },
  });
  return { imageId: image!.id, taskId: task!.id };
}

/** Uploads an image whole. */
async function uploadWhole(clients: Clients, name: string, bytes: Buffer): Promise<Upload> {
  const upload = await createUpload(clients, name);
  const frames = uploadFrames(bytes, { taskId: upload.taskId });
  expect((await clients.images.uploadImage(frames)).complete).toBe(true);
  return upload;
}

/** Goes on with an upload where the service says, to its end. */
async function resumeAndFinish(
  { images }: Clients,
  { taskId }: Upload,
  bytes: Buffer,
): Promise<number> {
  const { committedSize, writerEpoch } = await images.resumeUpload({ taskId });
  const offset = Number(committedSize);
  const answer = await images.uploadImage(uploadFrames(bytes, { taskId, offset, writerEpoch }));
  expect(answer).toMatchObject({ complete: true, committedSize: BigInt(bytes.length) });
  return offset;
}

async function expectActive(clients: Clients, { imageId }: Upload, bytes: Buffer): Promise<void> {
  const { image } = await clients.images.getImage({ imageId });
  expect(image?.state).toBe(Image_State.ACTIVE);
  expect((await downloadBytes(clients.images, imageId)).bytes.equals(bytes)).toBe(true);
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

async function expectHealthy({ url }: World): Promise<void> {
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
}

describe.skipIf(!canMount())('on a real file system', () => {
  test('a full disk stops the upload that filled it and no other, until there is room again', async () => {
    const world = await startOn((blobs) => mountDisk(blobs, 24));
    const { images, tasks } = world;
    const old = randomBytes(10.5 * MiB);
    const oldUpload = await uploadWhole(world, 'old', old);
    const small = randomBytes(96 * KiB);
    const smallUpload = await createUpload(world, 'small');
    const smallStream = holdUpload(images, smallUpload.taskId);
    smallStream.send(0, small.subarray(0, 64 * KiB));
    await untilCommitted(world, smallUpload.taskId, 64 * KiB);

    const big = randomBytes(20 * MiB);
    const bigUpload = await createUpload(world, 'big');
    const { taskId } = bigUpload;
    const failure = await failureOf(images.uploadImage(uploadFrames(big, { taskId })));
    expect(failure).toMatchObject({
      code: 'ResourceExhausted',
      reason: 'STORAGE_FULL',
      hasRetryInfo: true,
    });
    // What there was room for is kept.
    const kept = Number(failure.metadata['committed_size']);
    expect(kept).toBe(13 * MiB);
    const { task } = await tasks.getTask({ taskId });
    expect(task?.state).toBe(Task_State.RUNNING);
    expect(task?.lastFault).toMatchObject({
      reason: 'STORAGE_FULL',
      fatal: false,
      retryable: true,
    });
    expect(task?.progress?.bytesDone).toBe(BigInt(kept));

    // As long as there is no room it is told so again, and loses nothing.
    for (let attempt = 0; attempt < 2; attempt++) {
      const { committedSize, writerEpoch } = await images.resumeUpload({ taskId });
      expect(committedSize).toBe(BigInt(kept));
      const frames = uploadFrames(big, { taskId, offset: kept, writerEpoch });
      expect((await failureOf(images.uploadImage(frames))).reason).toBe('STORAGE_FULL');
    }

    smallStream.send(64 * KiB, small.subarray(64 * KiB));
    smallStream.finish(small.length);
    expect((await smallStream.answer).complete).toBe(true);
    await expectActive(world, smallUpload, small);
    const tiny = randomBytes(10 * KiB);
    await expectActive(world, await uploadWhole(world, 'tiny', tiny), tiny);
    await expectActive(world, oldUpload, old);
    await expectHealthy(world);

    await images.deleteImage({ imageId: oldUpload.imageId });
    await expect.poll(() => freeBytes(world.blobs), patience).toBeGreaterThan(10 * MiB);
    expect(await resumeAndFinish(world, bigUpload, big)).toBe(kept);
    await expectActive(world, bigUpload, big);
    await expectActive(world, smallUpload, small);
  });

  test('a folder that is unmounted for a while is UNAVAILABLE meanwhile, and nothing is lost', async () => {
    const real = await mkdtemp(join(tmpdir(), 'darkroom-real-'));
    onTestFinished(() => rm(real, { recursive: true, force: true }));
    const world = await startOn((blobs) => bindFolder(real, blobs));
    const { images, tasks } = world;
    const old = randomBytes(2 * MiB);
    const oldUpload = await uploadWhole(world, 'old', old);
    const half = randomBytes(MiB);
    const halfUpload = await createUpload(world, 'half');
    const halfStream = holdUpload(images, halfUpload.taskId);
    halfStream.send(0, half.subarray(0, 300 * KiB));
    await untilCommitted(world, halfUpload.taskId, 300 * KiB);
    const left = randomBytes(MiB);
    const leftUpload = await createUpload(world, 'left');
    const leftFrames = uploadFrames(left, { taskId: leftUpload.taskId, until: 400 * KiB });
    await images.uploadImage(leftFrames);

    expect(unmount(world.blobs)).toBe(true);
    const unavailable = { code: 'Unavailable', reason: 'STORAGE_UNAVAILABLE', hasRetryInfo: true };
    expect(await failureOf(downloadBytes(images, oldUpload.imageId))).toMatchObject(unavailable);
    const next = randomBytes(MiB);
    const nextUpload = await createUpload(world, 'next');
    const nextFrames = uploadFrames(next, { taskId: nextUpload.taskId });
    expect(await failureOf(images.uploadImage(nextFrames))).toMatchObject(unavailable);
    // The stream that has its file open already: what it sends now could not be found again.
    halfStream.send(300 * KiB, half.subarray(300 * KiB, 600 * KiB));
    expect(await failureOf(halfStream.answer)).toMatchObject(unavailable);
    // Repairs run meanwhile, and must not take what is away for what is lost.
    await sleep(2500);
    for (const { taskId } of [halfUpload, leftUpload, nextUpload]) {
      expect((await tasks.getTask({ taskId })).task?.state).toBe(Task_State.RUNNING);
    }
    await expectHealthy(world);

    bindFolder(real, world.blobs);
    await expectActive(world, oldUpload, old);
    expect(await resumeAndFinish(world, halfUpload, half)).toBe(300 * KiB);
    await expectActive(world, halfUpload, half);
    expect(await resumeAndFinish(world, leftUpload, left)).toBe(400 * KiB);
    await expectActive(world, leftUpload, left);
    expect(await resumeAndFinish(world, nextUpload, next)).toBe(0);
    await expectActive(world, nextUpload, next);
  });

  test('a finish that comes while the folder is gone completes by itself once it is back', async () => {
    const real = await mkdtemp(join(tmpdir(), 'darkroom-real-'));
    onTestFinished(() => rm(real, { recursive: true, force: true }));
    const world = await startOn((blobs) => bindFolder(real, blobs));
    const { images, tasks } = world;
    const bytes = randomBytes(MiB);
    const upload = await createUpload(world, 'finished');
    const stream = holdUpload(images, upload.taskId);
    stream.send(0, bytes);
    await untilCommitted(world, upload.taskId, bytes.length);

    expect(unmount(world.blobs)).toBe(true);
    stream.finish(bytes.length);
    expect((await failureOf(stream.answer)).reason).toBe('STORAGE_UNAVAILABLE');
    bindFolder(real, world.blobs);
    await expect
      .poll(async () => (await tasks.getTask(upload)).task?.state, patience)
      .toBe(Task_State.SUCCEEDED);
    await expectActive(world, upload, bytes);
  });
});
