import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { killServer } from '../../chaos/postgres-victim.ts';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { clusterPaths } from '../../src/database/embedded-postgres/cluster.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { holdUpload, patience, untilCommitted, type HeldUpload } from '../support/held-upload.ts';
import { isAlive } from '../support/processes.ts';
import {
  downloadBytes,
  startEmbeddedService,
  uploadFrames,
  type RunningService,
} from '../support/running-service.ts';
import { createRequest } from './bad-input/case.ts';

// Services and databases that start again and again, on however busy a machine.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const MiB = 1024 * 1024;
const bytes = randomBytes(5 * MiB);

let service: RunningService<undefined>;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startEmbeddedService({}, cleanUps.defer);
  return cleanUps.run;
});

/** What the service last said of its PostgreSQL. */
function postgres(): { readonly pid: number; readonly adopted?: boolean } {
  const lines = service.process.log.filter(({ msg }) =>
    msg?.startsWith('embedded PostgreSQL is running'),
  );
  return lines.at(-1) as unknown as { pid: number; adopted?: boolean };
}

/** An upload of which 3 MiB are acknowledged. */
async function beginUpload(name: string): Promise<{ imageId: string; stream: HeldUpload }> {
  const { image, task } = await service.images.createImage(createRequest({ name }));
  const stream = holdUpload(service.images, task!.id);
  stream.send(0, bytes.subarray(0, 3 * MiB));
  await untilCommitted(service, task!.id, 3 * MiB);
  return { imageId: image!.id, stream };
}

async function resume(taskId: string): Promise<void> {
  const { committedSize, writerEpoch } = await service.images.resumeUpload({ taskId });
  expect(committedSize).toBe(BigInt(3 * MiB));
  const rest = { taskId, offset: Number(committedSize), writerEpoch };
  expect(await service.images.uploadImage(uploadFrames(bytes, rest))).toMatchObject({
    complete: true,
  });
}

async function expectWhole(imageId: string): Promise<void> {
  const { image } = await service.images.getImage({ imageId });
  expect(image?.state).toBe(Image_State.ACTIVE);
  expect((await downloadBytes(service.images, imageId)).bytes.equals(bytes)).toBe(true);
}

describe('in the middle of an upload into a service with an embedded PostgreSQL', () => {
  test('PostgreSQL alone is killed: it is started again, and the stream goes on as if nothing had happened', async () => {
    const { imageId, stream } = await beginUpload('outlives its database');
    const before = postgres();
    // With its children, which else may work long enough for the rest of the upload.
    await killServer(clusterPaths(service.dataDir).cluster);
    stream.send(3 * MiB, bytes.subarray(3 * MiB));
    stream.finish(bytes.length);
    expect(await stream.answer).toMatchObject({ complete: true });
    await expectWhole(imageId);
    await expect.poll(() => postgres().pid, patience).not.toBe(before.pid);
    expect((await service.tasks.getTask({ taskId: stream.taskId })).task?.faultCount).toBe(0);
  });

  test('the service alone is killed: the next one adopts PostgreSQL, and the upload is resumed', async () => {
    const { imageId, stream } = await beginUpload('outlives its service');
    const before = postgres();
    await service.process.kill('SIGKILL');
    expect(await isAlive(before.pid)).toBe(true);
    service = await service.another();
    expect(postgres()).toMatchObject({ pid: before.pid, adopted: true });
    await resume(stream.taskId);
    await expectWhole(imageId);
  });

  test('both are killed: the next service starts PostgreSQL, and the upload is resumed', async () => {
    const { imageId, stream } = await beginUpload('outlives both');
    const before = postgres();
    process.kill(before.pid, 'SIGKILL');
    await service.process.kill('SIGKILL');
    service = await service.another();
    expect(postgres()).toMatchObject({ adopted: false });
    await resume(stream.taskId);
    await expectWhole(imageId);
  });

  test('and at last the service is stopped, and leaves no process behind', async () => {
    const { pid } = postgres();
    expect(await service.process.kill('SIGTERM')).toBe(0);
    await expect.poll(() => isAlive(pid), patience).toBe(false);
  });
});
