import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  Image_ContainerFormat,
  Image_DiskFormat,
  Image_State,
} from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { manifestOf, ovfOfDisk, packed, type PackedFile } from '../formats/ova-packages.ts';
import { importEnv } from '../imports/import-world.ts';
import { startSource, type SourceServer } from '../imports/source-server.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasProgram } from '../support/disk-images.ts';
import { failureOf } from '../support/failures.ts';
import { runProgram } from '../support/programs.ts';
import { startService, uploadFrames, type RunningService } from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';

const MiB = 1024 * 1024;
const virtualSize = 12 * MiB;
const isReady = hasProgram('qemu-img', 'qemu-utils') && hasProgram('tar', 'tar');
const image = {
  name: 'appliance',
  diskFormat: Image_DiskFormat.VMDK,
  containerFormat: Image_ContainerFormat.OVA,
};

const cleanUps = new CleanUps();
let service: RunningService;
let source: SourceServer;
let sound: Buffer;
/** One bit of the disk is another one than that of which the manifest was made. */
let altered: Buffer;

beforeAll(async () => {
  if (!isReady) {
    return undefined;
  }
  service = await startService(importEnv, cleanUps.defer);
  const folder = await makeDataDir();
  cleanUps.defer(() => folder.remove());
  const path = `${folder.path}/disk.vmdk`;
  const raw = `${folder.path}/disk.raw`;
  await writeFile(raw, randomBytes(virtualSize));
  const options = ['convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=streamOptimized'];
  const { errors } = await runProgram('qemu-img', [...options, raw, path]);
  expect(errors).toBe('');
  const descriptor: PackedFile = ['vm.ovf', ovfOfDisk()];
  const disk: PackedFile = ['disk.vmdk', await readFile(path)];
  const files = [descriptor, disk];
  sound = packed([descriptor, ['vm.mf', manifestOf(files)], disk]);
  altered = Buffer.from(sound);
  altered[altered.length - 5 * MiB]! ^= 1;
  source = await startSource(
    (request, response) => {
      const bytes = request.url === '/sound' ? sound : altered;
      response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    },
    { defer: cleanUps.defer },
  );
  return cleanUps.run;
});

async function upload(bytes: Buffer, to = service): Promise<{ imageId: string; taskId: string }> {
  const made = await to.images.createImage({ image, source: { case: 'upload', value: {} } });
  const taskId = made.task!.id;
  await to.images.uploadImage(uploadFrames(bytes, { taskId }));
  return { imageId: made.image!.id, taskId };
}

async function imported(path: string): Promise<{ imageId: string; taskId: string }> {
  const url = `${source.origin}${path}`;
  const made = await service.images.createImage({
    image,
    source: { case: 'copyFrom', value: { from: { case: 'url', value: url } } },
  });
  const taskId = made.task!.id;
  for await (const _ of service.tasks.watchTask({ taskId })) {
    // To its end.
  }
  return { imageId: made.image!.id, taskId };
}

describe.runIf(isReady)('an OVA with a manifest', () => {
  test('becomes ACTIVE, with the size of its disk, uploaded or imported', async () => {
    for (const { imageId } of [await upload(sound), await imported('/sound')]) {
      const { image: active } = await service.images.getImage({ imageId });
      expect(active?.state).toBe(Image_State.ACTIVE);
      expect(active?.sizeBytes).toBe(BigInt(sound.length));
      expect(active?.virtualSizeBytes).toBe(BigInt(virtualSize));
    }
  });

  test('of another disk is refused, however it comes', async () => {
    expect(await failureOf(upload(altered))).toMatchObject({
      code: 'InvalidArgument',
      reason: 'FORMAT_MISMATCH',
      metadata: { found: 'wrong digest' },
      message: expect.stringContaining('"disk.vmdk"'),
    });
    const { imageId, taskId } = await imported('/altered');
    const { task } = await service.tasks.getTask({ taskId });
    expect(task).toMatchObject({
      state: Task_State.FAILED,
      lastFault: { reason: 'FORMAT_MISMATCH', fatal: true },
    });
    expect((await service.images.getImage({ imageId })).image?.state).toBe(Image_State.QUEUED);
  });

  test('of another disk is taken where that is only recorded', async () => {
    const lenient = await service.another({ DARKROOM_FORMAT_CHECK: 'record' });
    const { imageId, taskId } = await upload(altered, lenient);
    expect((await lenient.images.getImage({ imageId })).image?.state).toBe(Image_State.ACTIVE);
    const { faults } = await lenient.tasks.listFaults({ of: { case: 'taskId', value: taskId } });
    expect(faults).toMatchObject([{ reason: 'FORMAT_MISMATCH', fatal: false }]);
  });

  test('is checked as well if many come at once', async () => {
    const results = await Promise.allSettled(
      Array.from({ length: 6 }, (_, index) => upload(index % 2 === 0 ? sound : altered)),
    );
    expect(results.map(({ status }) => status)).toEqual(
      results.map((_, index) => (index % 2 === 0 ? 'fulfilled' : 'rejected')),
    );
  });
});
