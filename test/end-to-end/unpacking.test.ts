import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  Image_ContainerFormat,
  Image_DiskFormat,
  Image_State,
} from '../../gen/darkroom/v1/image_pb.ts';
import { Phase } from '../../gen/darkroom/v1/phase_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { importEnv } from '../imports/import-world.ts';
import { serves, startSource } from '../imports/source-server.ts';
import { hasProgram } from '../support/disk-images.ts';
import { failureOf } from '../support/failures.ts';
import { patience } from '../support/held-upload.ts';
import {
  downloadBytes,
  startService,
  uploadFrames,
  type RunningService,
} from '../support/running-service.ts';
import { disagreements, readStoredSegments } from '../support/stored-segments.ts';

vi.setConfig({ testTimeout: 240_000 });

const run = promisify(execFile);
const KiB = 1024;
const MiB = 1024 * KiB;

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A folder of files that real programs make; gone when the test is finished. */
async function workshop(): Promise<{
  readonly folder: string;
  /** Runs a shell command there, and answers the file that it made. */
  readonly make: (command: string, file: string) => Promise<Buffer>;
}> {
  const folder = await mkdtemp(join(tmpdir(), 'darkroom-packed-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return {
    folder,
    async make(command, file) {
      await run('bash', ['-ec', command], { cwd: folder });
      return readFile(join(folder, file));
    },
  };
}

interface Created {
  readonly imageId: string;
  readonly taskId: string;
}

async function create(
  { images }: RunningService,
  diskFormat: Image_DiskFormat,
  kind: 'upload' | 'snapshot' = 'upload',
): Promise<Created> {
  const { image, task } = await images.createImage({
    image: { name: 'packed', diskFormat },
    source: { case: kind, value: { decompress: true } },
  });
  expect(task).toMatchObject({ decompress: true });
  return { imageId: image!.id, taskId: task!.id };
}

async function taskOf({ tasks }: RunningService, taskId: string) {
  return (await tasks.getTask({ taskId })).task!;
}

async function expectStoresToAgree(service: RunningService, segments: number): Promise<void> {
  await expect
    .poll(async () => {
      const stored = await readStoredSegments(service);
      return [disagreements(stored), stored.files.size];
    }, patience)
    .toEqual([[], segments]);
}

describe('what real programs compress', () => {
  const hasPrograms =
    hasProgram('qemu-img', 'qemu-utils') &&
    hasProgram('zstd', 'zstd') &&
    hasProgram('pzstd', 'zstd') &&
    hasProgram('xz', 'xz-utils') &&
    hasProgram('bzip2', 'bzip2');

  test.runIf(hasPrograms)('is unpacked, whatever their programs make of it', async () => {
    const service = await startService();
    const { folder, make } = await workshop();
    const raw = Buffer.concat([
      randomBytes(400 * KiB),
      Buffer.alloc(MiB),
      randomBytes(300 * KiB + 512),
    ]);
    await writeFile(join(folder, 'disk.raw'), raw);
    const qcow2 = await make('qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2', 'disk.qcow2');
    const cases: readonly (readonly [string, Buffer, Image_DiskFormat, string])[] = [
      ['gzip -1 -c disk.raw > out', raw, Image_DiskFormat.RAW, 'gzip'],
      ['gzip -9 -c disk.qcow2 > out', qcow2, Image_DiskFormat.QCOW2, 'gzip'],
      // Members, as who appends to a file makes them; and a tape's zeros after them.
      [
        '(head -c 300000 disk.raw | gzip -c; tail -c +300001 disk.raw | gzip -c; head -c 5120 /dev/zero) > out',
        raw,
        Image_DiskFormat.RAW,
        'gzip',
      ],
      ['zstd -q -3 -c disk.qcow2 > out', qcow2, Image_DiskFormat.QCOW2, 'zstd'],
      ['zstd -q -19 --no-check -T0 -c disk.raw > out', raw, Image_DiskFormat.RAW, 'zstd'],
      ['zstd -q -19 --long=27 -c disk.raw > out', raw, Image_DiskFormat.RAW, 'zstd'],
      ['xz -1 -T2 --block-size=200KiB -c disk.raw > out', raw, Image_DiskFormat.RAW, 'xz'],
      ['(xz -0 -c disk.qcow2; printf "" | xz -c) > out', qcow2, Image_DiskFormat.QCOW2, 'xz'],
      [
        '(head -c 300000 disk.raw | bzip2 -c; tail -c +300001 disk.raw | bzip2 -1 -c) > out',
        raw,
        Image_DiskFormat.RAW,
        'bzip2',
      ],
      // Frames, of which pzstd makes many, after skippable ones; and of no known size.
      ['pzstd -q -p 4 -c disk.raw > out', raw, Image_DiskFormat.RAW, 'zstd'],
      [
        '(head -c 300000 disk.raw | zstd -q -c; tail -c +300001 disk.raw | zstd -q -c) > out',
        raw,
        Image_DiskFormat.RAW,
        'zstd',
      ],
    ];
    for (const [command, content, diskFormat, format] of cases) {
      const packed = await make(command, 'out');
      const { imageId, taskId } = await create(service, diskFormat);
      const answer = await service.images.uploadImage(uploadFrames(packed, { taskId }));
      expect(answer, command).toMatchObject({
        complete: true,
        committedSize: BigInt(packed.length),
        image: {
          state: Image_State.ACTIVE,
          containerFormat: Image_ContainerFormat.BARE,
          sizeBytes: BigInt(content.length),
          virtualSizeBytes: BigInt(raw.length),
          sha256: sha256(content),
          packedFormat: format,
          packedSizeBytes: BigInt(packed.length),
          packedSha256: sha256(packed),
        },
        task: {
          state: Task_State.SUCCEEDED,
          progress: { bytesUnpacked: BigInt(packed.length) },
        },
      });
      expect((await downloadBytes(service.images, imageId)).bytes.equals(content)).toBe(true);
    }
    await expectStoresToAgree(service, cases.length);
  });

  test.runIf(hasPrograms)('is refused with a reason if it cannot be unpacked', async () => {
    const service = await startService();
    const { make, folder } = await workshop();
    await writeFile(join(folder, 'disk.raw'), randomBytes(300 * KiB));
    const cases: readonly (readonly [string, string, string])[] = [
      [
        'head -c 150M /dev/zero | zstd -q --long=31 -c > out',
        'COMPRESSION_INVALID',
        'usual options',
      ],
      ['gzip -c disk.raw | head -c 200000 > out', 'COMPRESSION_INVALID', 'end before'],
      ['zstd -q -c disk.raw | head -c -4 > out', 'COMPRESSION_INVALID', 'end before'],
      ['(zstd -q -c disk.raw; echo more) > out', 'COMPRESSION_INVALID', 'are damaged'],
      ['xz -0 -c disk.raw | head -c -9 > out', 'COMPRESSION_INVALID', 'end before'],
      ['(bzip2 -c disk.raw; echo more) > out', 'COMPRESSION_INVALID', 'are damaged'],
      ['cp disk.raw out', 'FORMAT_MISMATCH', ''],
    ];
    for (const [command, reason, words] of cases) {
      const packed = await make(command, 'out');
      const { imageId, taskId } = await create(service, Image_DiskFormat.RAW);
      const failure = await failureOf(service.images.uploadImage(uploadFrames(packed, { taskId })));
      expect(failure, command).toMatchObject({ reason });
      expect(failure.message).toContain(words);
      expect(await taskOf(service, taskId)).toMatchObject({ state: Task_State.FAILED });
      const { image } = await service.images.getImage({ imageId });
      expect(image).toMatchObject({ state: Image_State.QUEUED });
      await service.images.deleteImage({ imageId });
    }
    await expectStoresToAgree(service, 0);
  });

  test('is refused at once in an archive, which is stored as it is', async () => {
    const { images } = await startService();
    const request = images.createImage({
      image: {
        name: 'appliance',
        diskFormat: Image_DiskFormat.VMDK,
        containerFormat: Image_ContainerFormat.OVA,
      },
      source: { case: 'upload', value: { decompress: true } },
    });
    expect(await failureOf(request)).toMatchObject({
      reason: 'FIELD_INVALID',
      fields: ['upload.decompress'],
    });
  });
});

describe('an import that is to be unpacked', () => {
  test('fetches, compares what travelled with what was stated, and stores what is inside', async () => {
    const { make, folder } = await workshop();
    const raw = Buffer.concat([randomBytes(2 * MiB), Buffer.alloc(MiB)]);
    await writeFile(join(folder, 'disk.raw'), raw);
    const packed = await make('gzip -c disk.raw > out', 'out');
    const source = await startSource(serves(packed));
    const service = await startService(importEnv);
    const { image, task } = await service.images.createImage({
      image: { name: 'fetched', diskFormat: Image_DiskFormat.RAW },
      source: {
        case: 'copyFrom',
        value: {
          from: { case: 'url', value: `${source.origin}/disk.raw.gz` },
          decompress: true,
          sha256: sha256(packed),
          sha512: createHash('sha512').update(packed).digest('hex'),
        },
      },
    });
    await expect
      .poll(async () => (await taskOf(service, task!.id)).state, patience)
      .toBe(Task_State.SUCCEEDED);
    const imageId = image!.id;
    expect((await service.images.getImage({ imageId })).image).toMatchObject({
      sha256: sha256(raw),
      packedSha256: sha256(packed),
      packedFormat: 'gzip',
    });
    expect((await downloadBytes(service.images, imageId)).bytes.equals(raw)).toBe(true);
    const view = await (await fetch(`${service.process.url}/v2/images/${imageId}`)).json();
    expect(view).toMatchObject({
      size: raw.length,
      os_hash_value: sha256(raw),
      packed_format: 'gzip',
      packed_size: String(packed.length),
      packed_sha256: sha256(packed),
    });
    await expectStoresToAgree(service, 1);
  });
});

describe('a service that is killed while it unpacks', () => {
  test.runIf(hasProgram('zstd', 'zstd'))(
    'ends with the image, whenever that was, and leaves nothing',
    async () => {
      const { make } = await workshop();
      const size = 256 * MiB;
      const packed = await make(`head -c ${size} /dev/zero | zstd -q -c > out`, 'out');
      const hash = createHash('sha256');
      for (let done = 0; done < size; done += MiB) {
        hash.update(Buffer.alloc(MiB));
      }
      let service = await startService({ DARKROOM_REPAIR_INTERVAL_MS: '1000' });
      const { imageId, taskId } = await create(service, Image_DiskFormat.RAW, 'snapshot');
      const uploading = service.images
        .uploadImage(uploadFrames(packed, { taskId }))
        .catch(() => {});
      for (const delayMs of [0, 300]) {
        await expect
          .poll(async () => (await taskOf(service, taskId)).phase, { ...patience, interval: 5 })
          .not.toSatisfy((phase) => phase < Phase.VERIFYING);
        await delay(delayMs);
        await service.process.kill('SIGKILL');
        service = await service.another();
      }
      await uploading;
      await expect
        .poll(async () => (await taskOf(service, taskId)).state, patience)
        .toBe(Task_State.SUCCEEDED);
      expect((await service.images.getImage({ imageId })).image).toMatchObject({
        state: Image_State.ACTIVE,
        sizeBytes: BigInt(size),
        sha256: hash.digest('hex'),
        packedSha256: sha256(packed),
      });
      await expectStoresToAgree(service, 1);
    },
  );
});
