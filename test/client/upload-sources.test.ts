import { createHash, randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import type { UploadProgress, UploadSource } from '../../src/client/exports.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { downloadBytes, startService, type RunningService } from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';
import { hasty, roads } from './clients.ts';

const mib = 1024 * 1024;
const image = { name: 'disk', diskFormat: Image_DiskFormat.RAW };

let service: RunningService;
let folder: string;
/** Bytes, zeros of 3 MiB and a bit, and bytes again, at no round places. */
const bytes = Buffer.concat([
  randomBytes(2 * mib + 17),
  Buffer.alloc(3 * mib + 4097),
  randomBytes(mib + 1),
]);
const sha256 = createHash('sha256').update(bytes).digest('hex');

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({}, cleanUps.defer);
  const dir = await makeDataDir();
  folder = dir.path;
  cleanUps.defer(() => dir.remove());
  await writeFile(join(folder, 'disk'), bytes);
  return cleanUps.run;
});

function* slices(size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield bytes.subarray(at, at + size);
  }
}

const sources: Readonly<Record<string, () => UploadSource>> = {
  'a Blob': () => new Blob([bytes]),
  'a stream of the web': () => ReadableStream.from(slices(70_001)),
  'a stream of Node': () => Readable.from(slices(70_001)),
  'a stream of a file': () => createReadStream(join(folder, 'disk')),
  'an iterable': () => slices(mib * 3),
  'an async iterable': () => Readable.from(slices(1_000_003)),
  'an iterable with holes': () => [
    bytes.subarray(0, 2 * mib + 17),
    { hole: 3 * mib },
    { hole: 0 },
    { hole: 4097 },
    bytes.subarray(5 * mib + 17 + 4097),
  ],
  'what can be read from anywhere': () => ({
    size: bytes.length,
    open: (offset: number) => Readable.from([bytes.subarray(offset)]),
  }),
};

describe.each(Object.entries(roads))('an upload by %s', (road, client) => {
  const isBrowser = road.startsWith('fetch');

  test.each(Object.entries(sources))('from %s', async (_, source) => {
    const darkroom = client(service.process.url, { retry: hasty });
    const result = await darkroom.uploadImage(source(), { image });
    expect(result).toMatchObject({
      image: { state: Image_State.ACTIVE, sha256, sizeBytes: BigInt(bytes.length) },
      sizeBytes: bytes.length,
      sha256,
      resumes: 0,
    });
    // Whole blocks of zeros do not travel.
    expect(result.holeBytes).toBeGreaterThan(2.8 * mib);
    expect(result.holeBytes + result.sentBytes).toBe(bytes.length);
    const stored = await downloadBytes(service.images, result.image.id);
    expect(stored.bytes.equals(bytes)).toBe(true);
  });

  test.runIf(!isBrowser)('from a path, with its progress', async () => {
    const darkroom = client(service.process.url, { retry: hasty });
    const told: UploadProgress[] = [];
    const result = await darkroom.uploadImage(join(folder, 'disk'), {
      image,
      onProgress: (progress) => told.push(progress),
    });
    expect(result.image.sha256).toBe(sha256);
    expect(told.map(({ step }) => step).filter((step, at, all) => step !== all[at - 1])).toEqual([
      'starting',
      'sending',
      'finishing',
      'done',
    ]);
    expect(told.at(-1)).toMatchObject({
      sizeBytes: bytes.length,
      committedBytes: bytes.length,
      position: bytes.length,
      taskId: result.task.id,
      imageId: result.image.id,
    });
  });

  test.runIf(!isBrowser)('from a sparse file, of which only the bytes travel', async () => {
    const path = join(folder, `sparse-${road}`);
    const file = await open(path, 'w');
    await file.write(bytes, 0, mib, 300 * mib);
    await file.truncate(400 * mib);
    await file.close();
    const darkroom = client(service.process.url, { retry: hasty });
    const result = await darkroom.uploadImage(path, { image });
    expect(result.sizeBytes).toBe(400 * mib);
    expect(result.sentBytes).toBe(mib);
    expect(result.image.sizeBytes).toBe(BigInt(400 * mib));
  });

  test.runIf(!isBrowser)('from a pipe with a name', async () => {
    const path = join(folder, `pipe-${road}`);
    execFileSync('mkfifo', [path]);
    const darkroom = client(service.process.url, { retry: hasty });
    const [result] = await Promise.all([
      darkroom.uploadImage(path, { image }),
      writeFile(path, bytes),
    ]);
    expect(result.image.sha256).toBe(sha256);
  });

  test('of no bytes', async () => {
    const darkroom = client(service.process.url, { retry: hasty });
    const result = await darkroom.uploadImage([], { image });
    expect(result.image.sizeBytes).toBe(0n);
    const one = await darkroom.uploadImage(new Blob([]), { image });
    expect(one.image.sizeBytes).toBe(0n);
  });

  test('of bytes that are not what was stated fails by that reason', async () => {
    const darkroom = client(service.process.url, { retry: hasty });
    await expect(
      darkroom.uploadImage(new Blob([bytes]), { image, sha256: '0'.repeat(64) }),
    ).rejects.toMatchObject({ reason: 'DIGEST_MISMATCH', origin: 'service' });
    await expect(
      darkroom.uploadImage(slices(mib), { image, size: bytes.length + 1 }),
    ).rejects.toMatchObject({ reason: 'SIZE_SHORT', origin: 'service' });
    await expect(
      darkroom.uploadImage(slices(mib), {
        image: { ...image, diskFormat: Image_DiskFormat.QCOW2 },
      }),
    ).rejects.toMatchObject({ reason: 'FORMAT_MISMATCH', origin: 'service' });
  });

  test('whose source throws fails, and its task can be gone on with', async () => {
    const darkroom = client(service.process.url, { retry: hasty });
    const broken = new Error('the disk is on fire');
    let taskId = '';
    await expect(
      darkroom.uploadImage(
        (async function* () {
          yield bytes.subarray(0, 3 * mib);
          throw broken;
        })(),
        { image, onTask: (ids) => void (taskId = ids.taskId) },
      ),
    ).rejects.toMatchObject({ reason: 'SOURCE_UNREADABLE', cause: broken });
    const result = await darkroom.uploadImage(new Blob([bytes]), { taskId });
    expect(result).toMatchObject({ sha256, image: { sha256 }, task: { id: taskId } });
  });
});
