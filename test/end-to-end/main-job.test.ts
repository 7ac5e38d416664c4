import { createGrpcWebTransport } from '@connectrpc/connect-node';
import { createClient } from '@connectrpc/connect';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Image_DiskFormat, Image_Outlook, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import {
  hasProgram,
  hasRescueIso,
  makeQcow2Image,
  makeRawImage,
  readRescueIso,
  type DiskImageFile,
} from '../support/disk-images.ts';
import {
  downloadBytes,
  everyTransport,
  startService,
  uploadFrames,
  type RunningService,
} from '../support/running-service.ts';

const hasQemu = hasProgram('qemu-img', 'qemu-utils');
const hasIso = hasRescueIso();

let service: RunningService;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({}, cleanUps.defer, 'disk');
  return cleanUps.run;
});

async function uploadAndCompare(disk: DiskImageFile, client = service.images): Promise<void> {
  onTestFinished(() => disk.remove());
  const { image, task } = await client.createImage({
    image: { name: `${disk.format} by a test`, diskFormat: Image_DiskFormat[disk.format] },
    source: { case: 'upload', value: { totalSize: BigInt(disk.bytes.length) } },
  });
  expect(image?.state).toBe(Image_State.QUEUED);
  expect(image?.outlook).toBe(Image_Outlook.EXPECTED);
  expect(task?.state).toBe(Task_State.PENDING);

  const answer = await service.images.uploadImage(
    uploadFrames(disk.bytes, { taskId: task!.id, sha256: disk.sha256 }),
  );
  expect(answer).toMatchObject({ complete: true, committedSize: BigInt(disk.bytes.length) });
  expect(answer.image).toMatchObject({ state: Image_State.ACTIVE, sha256: disk.sha256 });
  expect(answer.task?.state).toBe(Task_State.SUCCEEDED);

  const downloaded = await downloadBytes(client, image!.id);
  expect(downloaded.sha256).toBe(disk.sha256);
  expect(downloaded.bytes.equals(disk.bytes)).toBe(true);
}

describe('a real disk image goes in, is watched to its end, and comes out with the same bytes', () => {
  test.skipIf(!hasQemu)('raw, by qemu-img', async () => {
    await uploadAndCompare(await makeRawImage());
  });

  test.skipIf(!hasQemu)('qcow2, by qemu-img', async () => {
    await uploadAndCompare(await makeQcow2Image());
  });

  test.skipIf(!hasIso)('a bootable ISO', async () => {
    await uploadAndCompare(await readRescueIso());
  });
});

test('the task can be followed from its first moment to its end', async () => {
  const bytes = Buffer.alloc(3_000_000, 'darkroom');
  const { task } = await service.images.createImage({
    image: { name: 'watched', diskFormat: Image_DiskFormat.RAW },
    source: { case: 'upload', value: {} },
  });
  const watch = service.tasks.watchTask({ taskId: task!.id })[Symbol.asyncIterator]();
  const first = await watch.next();
  expect(first.value?.content.case).toBe('snapshot');

  await service.images.uploadImage(uploadFrames(bytes, { taskId: task!.id }));
  const states: Task_State[] = [];
  for (let next = await watch.next(); !next.done; next = await watch.next()) {
    if (next.value.content.case === 'update') {
      states.push(next.value.content.value.event!.state);
    }
  }
  expect(states[0]).toBe(Task_State.RUNNING);
  expect(states.at(-1)).toBe(Task_State.SUCCEEDED);
});

test('every protocol on every HTTP version lists, creates, uploads by chunks, watches and downloads', async () => {
  for (const [name, transport] of everyTransport(service.process.url, createGrpcWebTransport)) {
    const images = createClient(ImageService, transport);
    const tasks = createClient(TaskService, transport);
    const bytes = Buffer.alloc(300_000, name);
    const { image, task } = await images.createImage({
      image: { name, diskFormat: Image_DiskFormat.RAW },
      source: { case: 'upload', value: {} },
    });
    const first = await images.uploadChunk({ taskId: task!.id, data: bytes.subarray(0, 200_000) });
    expect(first).toMatchObject({ complete: false, committedSize: 200_000n });
    const last = await images.uploadChunk({
      taskId: task!.id,
      writerEpoch: first.writerEpoch,
      offset: 200_000n,
      data: bytes.subarray(200_000),
      finish: { totalSize: 300_000n },
    });
    expect(last, name).toMatchObject({ complete: true, committedSize: 300_000n });
    expect((await downloadBytes(images, image!.id)).bytes.equals(bytes), name).toBe(true);
    const kinds: (string | undefined)[] = [];
    for await (const { content } of tasks.watchTask({ taskId: task!.id })) {
      kinds.push(content.case);
    }
    expect(kinds, name).toEqual(['snapshot']);
    const { images: listed } = await images.listImages({ filter: { name } });
    expect(listed.map(({ id }) => id)).toEqual([image!.id]);
  }
});
