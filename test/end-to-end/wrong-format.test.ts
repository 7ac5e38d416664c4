import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { importEnv } from '../imports/import-world.ts';
import { startSource, type SourceServer } from '../imports/source-server.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { failureOf } from '../support/failures.ts';
import { startService, uploadFrames, type RunningService } from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';
import { hasProgram } from '../support/disk-images.ts';
import { runProgram } from '../support/programs.ts';

/** Files of which each became ACTIVE elsewhere, by either road. */
const cases = [
  ['random bytes', 'QCOW2', 'FORMAT_MISMATCH', 'nothing known'],
  ['random bytes', 'VMDK', 'FORMAT_MISMATCH', 'nothing known'],
  ['random bytes', 'ISO', 'FORMAT_MISMATCH', 'nothing known'],
  ['a qcow2 with a backing file', 'QCOW2', 'FORMAT_UNSAFE', 'backing file'],
  ['a qcow2 with an external data file', 'QCOW2', 'FORMAT_UNSAFE', 'external data file'],
  ['a flat vmdk', 'VMDK', 'FORMAT_UNSAFE', 'extents in other files'],
  ['a qcow2 without its end', 'QCOW2', 'FORMAT_MISMATCH', 'cut short'],
  ['an empty file', 'QCOW2', 'FORMAT_MISMATCH', 'empty file'],
  ['an empty file', 'VMDK', 'FORMAT_MISMATCH', 'empty file'],
  ['an empty file', 'ISO', 'FORMAT_MISMATCH', 'empty file'],
  ['a login page', 'RAW', 'FORMAT_MISMATCH', 'html'],
  ['a login page', 'QCOW2', 'FORMAT_MISMATCH', 'html'],
] as const;

const cleanUps = new CleanUps();
let service: RunningService;
let source: SourceServer;
let files: Map<string, Buffer>;

beforeAll(async () => {
  service = await startService(importEnv, cleanUps.defer);
  const folder = await makeDataDir();
  cleanUps.defer(() => folder.remove());
  files = await makeFiles(folder.path);
  source = await startSource(
    (request, response) => {
      const bytes = files.get(decodeURIComponent(request.url?.slice(1) ?? '')) ?? Buffer.alloc(0);
      response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    },
    { defer: cleanUps.defer },
  );
  return cleanUps.run;
});

const hasQemuImg = hasProgram('qemu-img', 'qemu-utils');

async function qemuImg(...args: readonly string[]): Promise<void> {
  const { code, errors } = await runProgram('qemu-img', args);
  expect(errors).toBe('');
  expect(code).toBe(0);
}

const withoutPrograms: readonly (readonly [string, Buffer])[] = [
  ['random bytes', randomBytes(200_000)],
  ['an empty file', Buffer.alloc(0)],
  ['a login page', Buffer.from('<html>login</html>')],
];

async function makeFiles(folder: string): Promise<Map<string, Buffer>> {
  const at = (name: string): string => `${folder}/${name}`;
  if (!hasQemuImg) {
    return new Map(withoutPrograms);
  }
  await qemuImg('create', '-f', 'qcow2', at('base'), '1M');
  await qemuImg('create', '-f', 'qcow2', '-b', at('base'), '-F', 'qcow2', at('backed'));
  await qemuImg('create', '-f', 'qcow2', '-o', `data_file=${at('data')}`, at('external'), '1M');
  await qemuImg('create', '-f', 'vmdk', '-o', 'subformat=monolithicFlat', at('flat.vmdk'), '1M');
  await writeFile(at('data.raw'), randomBytes(1_000_000));
  await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', at('data.raw'), at('whole'));
  return new Map([
    ...withoutPrograms,
    ['a qcow2 without its end', (await readFile(at('whole'))).subarray(0, 1_000_000)],
    ['a qcow2 with a backing file', await readFile(at('backed'))],
    ['a qcow2 with an external data file', await readFile(at('external'))],
    ['a flat vmdk', await readFile(at('flat.vmdk'))],
  ]);
}

const possible = cases.filter(([file]) => hasQemuImg || !/qcow2|vmdk/.test(file));

describe.each(possible)('%s, said to be %s,', (file, format, reason, found) => {
  const image = { name: file, diskFormat: Image_DiskFormat[format] };

  async function expectRefused(imageId: string, taskId: string): Promise<void> {
    const { task } = await service.tasks.getTask({ taskId });
    expect(task).toMatchObject({ state: Task_State.FAILED, lastFault: { reason, fatal: true } });
    expect(task?.lastFault?.message).toMatch(new RegExp(format, 'i'));
    const { image: now } = await service.images.getImage({ imageId });
    expect(now?.state).toBe(Image_State.QUEUED);
  }

  test(`is refused as an upload: ${reason}, ${found}`, async () => {
    const bytes = files.get(file)!;
    const made = await service.images.createImage({ image, source: { case: 'upload', value: {} } });
    const taskId = made.task!.id;
    const failure = await failureOf(
      service.images.uploadImage(uploadFrames(bytes, { taskId, chunkBytes: 50_000 })),
    );
    expect(failure).toMatchObject({ code: 'InvalidArgument', reason, metadata: { found } });
    await expectRefused(made.image!.id, taskId);
  });

  test(`and as an import: ${reason}`, async () => {
    const url = `${source.origin}/${encodeURIComponent(file)}`;
    const made = await service.images.createImage({
      image,
      source: { case: 'copyFrom', value: { from: { case: 'url', value: url } } },
    });
    const taskId = made.task!.id;
    for await (const _ of service.tasks.watchTask({ taskId })) {
      // To its end.
    }
    await expectRefused(made.image!.id, taskId);
  });
});

test('a wrong image is refused with its first bytes, however many are to follow', async () => {
  const { task } = await service.images.createImage({
    image: { name: 'wrong', diskFormat: Image_DiskFormat.QCOW2 },
    source: { case: 'upload', value: { totalSize: 200n * 1024n ** 3n } },
  });
  const taskId = task!.id;
  let sent = 0;
  async function* endless() {
    yield { frame: { case: 'header' as const, value: { taskId } } };
    const data = randomBytes(64 * 1024);
    for (;;) {
      yield { frame: { case: 'chunk' as const, value: { offset: BigInt(sent), data } } };
      sent += data.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  const failure = await failureOf(service.images.uploadImage(endless()));
  expect(failure.reason).toBe('FORMAT_MISMATCH');
  // Of 200 GiB: as much as came while the first of it was looked at.
  expect(Number(failure.metadata['committed_size'])).toBeLessThan(1024 ** 3);
});

test.runIf(hasQemuImg)(
  'where it is so set a wrong image is taken, with a fault that says what it is',
  async () => {
    const lenient = await service.another({ DARKROOM_FORMAT_CHECK: 'record' });
    const bytes = files.get('a qcow2 with a backing file')!;
    const { image, task } = await lenient.images.createImage({
      image: { name: 'known to be odd', diskFormat: Image_DiskFormat.QCOW2 },
      source: { case: 'upload', value: {} },
    });
    const taskId = task!.id;
    const answer = await lenient.images.uploadImage(uploadFrames(bytes, { taskId }));
    expect(answer).toMatchObject({ complete: true, task: { faultCount: 1 } });
    const { faults } = await lenient.tasks.listFaults({ of: { case: 'taskId', value: taskId } });
    expect(faults).toMatchObject([{ reason: 'FORMAT_UNSAFE', fatal: false }]);
    expect((await lenient.images.getImage({ imageId: image!.id })).image?.state).toBe(
      Image_State.ACTIVE,
    );
  },
);
