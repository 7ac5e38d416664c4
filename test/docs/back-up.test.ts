import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, inject, onTestFinished, test } from 'vitest';
import { Code, ConnectError } from '@connectrpc/connect';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { administer, databaseUrl } from '../support/database-cluster.ts';
import { holdUpload } from '../support/held-upload.ts';
import { runProgram } from '../support/programs.ts';
import { codeBlocks, sectionOf } from '../support/readme.ts';
import {
  downloadBytes,
  startEmbeddedService,
  startService,
  uploadFrames,
  type RunningService,
} from '../support/running-service.ts';
import { makeDataDir, repository } from '../support/service-process.ts';

const MiB = 1024 * 1024;

/** The `tar` command below a heading of the page, between other folders. */
async function copyCommand(heading: string, from: string, archive: string): Promise<string> {
  const page = await readFile(join(repository, 'docs/how-to/back-up.md'), 'utf8');
  const block = codeBlocks(sectionOf(page, heading)).find(({ language }) => language === 'sh');
  const command = block?.code.split('\n').find((line) => line.startsWith('tar '));
  expect(command).toBeDefined();
  return command!.replace('/var/lib/darkroom', from).replace(/--file \S+/, `--file ${archive}`);
}

async function shell(command: string): Promise<void> {
  const { code, errors } = await runProgram('bash', ['-c', command]);
  expect(code, `${command}\n${errors}`).toBe(0);
}

/** Makes an image with its task, whose bytes are to come. */
async function create({ images }: RunningService, name: string) {
  const { image, task } = await images.createImage({
    image: { name, diskFormat: Image_DiskFormat.RAW },
    source: { case: 'upload', value: {} },
  });
  return { imageId: image!.id, taskId: task!.id };
}

async function upload(service: RunningService, name: string, bytes: Uint8Array): Promise<string> {
  const { imageId, taskId } = await create(service, name);
  await service.images.uploadImage(uploadFrames(bytes, { taskId }));
  return imageId;
}

test('a data folder that was copied while its service was stopped is a whole service elsewhere', async () => {
  const service = await startEmbeddedService();
  const bytes = randomBytes(3 * MiB);
  const { image, task } = await service.images.createImage({
    image: { name: 'kept', diskFormat: Image_DiskFormat.RAW },
    source: { case: 'upload', value: {} },
  });
  await service.images.uploadImage(uploadFrames(bytes, { taskId: task!.id }));
  expect(await service.process.kill('SIGTERM')).toBe(0);

  const elsewhere = await startEmbeddedService();
  expect(await elsewhere.process.kill('SIGTERM')).toBe(0);
  const archive = join(service.dataDir, '..', `${randomBytes(6).toString('hex')}.tar`);
  onTestFinished(() => shell(`rm -f '${archive}'`));
  await shell(await copyCommand('With the service stopped', service.dataDir, archive));
  await shell(
    `find '${elsewhere.dataDir}' -mindepth 1 -delete; tar --extract --file '${archive}' --directory '${elsewhere.dataDir}'`,
  );
  const restored = await elsewhere.another();
  expect((await downloadBytes(restored.images, image!.id)).bytes.equals(bytes)).toBe(true);
});

test('a database that was copied first, and the bytes after it, are a whole service, which goes on with what was under way', async () => {
  const service = await startService({ DARKROOM_COMMIT_BYTES: '65536' });
  const [kept, half, later] = [randomBytes(2 * MiB), randomBytes(4 * MiB), randomBytes(MiB)];
  const keptId = await upload(service, 'kept', kept);
  const broken = await create(service, 'half');
  const held = holdUpload(service.images, broken.taskId);
  held.send(0, half.subarray(0, 2 * MiB));
  const committed = async (): Promise<bigint> =>
    (await service.tasks.getTask({ taskId: broken.taskId })).task?.progress?.bytesDone ?? 0n;
  await expect.poll(committed).toBe(BigInt(2 * MiB));

  // What pg_dump sees: the database at one instant. Its connections are cut for that, and the service comes back.
  const clusterUrl = inject('clusterUrl');
  const name = new URL(service.databaseUrl).pathname.slice(1);
  const copy = `${name}_copy`;
  await administer(clusterUrl, `alter database ${name} allow_connections false`);
  try {
    await expect
      .poll(async () => {
        await administer(
          clusterUrl,
          `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`,
        );
        return administer(clusterUrl, `create database ${copy} template ${name}`).then(
          () => 'copied',
          (error: unknown) => String(error),
        );
      })
      .toBe('copied');
  } finally {
    await administer(clusterUrl, `alter database ${name} allow_connections true`);
  }
  onTestFinished(() => administer(clusterUrl, `drop database if exists ${copy} with (force)`));

  // Life goes on between the two.
  held.send(2 * MiB, half.subarray(2 * MiB));
  let laterId = '';
  await expect
    .poll(async () => {
      try {
        laterId = await upload(service, 'later', later);
        return 'uploaded';
      } catch (error) {
        return String(error);
      }
    })
    .toBe('uploaded');

  await using restoredDir = await makeDataDir();
  const archive = join(restoredDir.path, 'blobs.tar');
  await shell(await copyCommand('While it runs', service.dataDir, archive));
  await service.process.kill('SIGKILL');
  const folder = join(restoredDir.path, 'data');
  await mkdir(folder);
  await shell(`tar --extract --file '${archive}' --directory '${folder}'`);

  const restored = await service.another({
    DATABASE_URL: databaseUrl(clusterUrl, copy),
    DARKROOM_DATA_DIR: folder,
  });
  expect((await downloadBytes(restored.images, keptId)).bytes.equals(kept)).toBe(true);
  const unknown: unknown = await restored.images
    .getImage({ imageId: laterId })
    .catch((e: unknown) => e);
  expect(ConnectError.from(unknown).code).toBe(Code.NotFound);
  await restored.process.line(({ msg }) => msg === 'removing a file that nothing refers to');

  const { committedSize, writerEpoch } = await restored.images.resumeUpload({
    taskId: broken.taskId,
  });
  expect(committedSize).toBe(BigInt(2 * MiB));
  const answer = await restored.images.uploadImage(
    uploadFrames(half, { taskId: broken.taskId, offset: Number(committedSize), writerEpoch }),
  );
  expect(answer.complete).toBe(true);
  expect((await downloadBytes(restored.images, broken.imageId)).bytes.equals(half)).toBe(true);
});
