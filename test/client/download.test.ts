import { createHash, randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import type { DarkroomClient, DownloadProgress } from '../../src/client/exports.ts';
import { createDarkroomClient } from '../../src/client/node.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';
import { hasty, roads } from './clients.ts';

const mib = 1024 * 1024;
const image = { name: 'disk', diskFormat: Image_DiskFormat.RAW };
const bytes = Buffer.concat([randomBytes(70 * mib), Buffer.alloc(80 * mib), randomBytes(mib + 3)]);
const sha256 = createHash('sha256').update(bytes).digest('hex');

let service: RunningService;
let folder: string;
let imageId: string;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({}, cleanUps.defer);
  const dir = await makeDataDir('disk');
  folder = dir.path;
  cleanUps.defer(() => dir.remove());
  const darkroom = createDarkroomClient({ endpoint: service.process.url });
  cleanUps.defer(() => Promise.resolve(darkroom.close()));
  const uploaded = await darkroom.uploadImage(new Blob([bytes]), { image });
  imageId = uploaded.image.id;
  return cleanUps.run;
});

function client(road = 'connect-node, gRPC'): DarkroomClient {
  const make = roads[road]!;
  return make(service.process.url, { retry: hasty });
}

describe.each(Object.keys(roads))('a download by %s', (road) => {
  test('to a stream of the web has all bytes', async () => {
    const hash = createHash('sha256');
    let isClosed = false;
    const target = new WritableStream<Uint8Array>({
      write: (chunk) => void hash.update(chunk),
      close: () => void (isClosed = true),
    });
    const result = await client(road).downloadImage(imageId, target);
    expect(result).toMatchObject({ sizeBytes: bytes.length, sha256, holeBytes: 80 * mib });
    expect(hash.digest('hex')).toBe(sha256);
    expect(isClosed).toBe(true);
  });

  test('of a range has its bytes', async () => {
    const from = 70 * mib - 5;
    const parts = client(road).readImage(imageId, { offset: from, length: 10 });
    let read = Buffer.alloc(0);
    for await (const part of parts) {
      read = Buffer.concat([read, part.kind === 'data' ? part.data : Buffer.alloc(part.length)]);
    }
    expect(read.equals(bytes.subarray(from, from + 10))).toBe(true);
  });
});

describe('a download to a path', () => {
  test('has all bytes, and holes where there are some', async () => {
    const path = join(folder, 'whole');
    const told: DownloadProgress[] = [];
    const result = await client().downloadImage(imageId, path, {
      onProgress: (progress) => told.push(progress),
    });
    expect(result).toMatchObject({ sizeBytes: bytes.length, sha256, holeBytes: 80 * mib });
    expect((await readFile(path)).equals(bytes)).toBe(true);
    expect((await stat(path)).blocks * 512).toBeLessThan(75 * mib);
    expect(told.at(-1)).toMatchObject({ step: 'done', doneBytes: bytes.length });
    expect((await readdir(folder)).filter((name) => name.startsWith('whole'))).toEqual(['whole']);
  });

  test('that was aborted goes on with what is there', async () => {
    const path = join(folder, 'aborted');
    const abort = new AbortController();
    const reason = new Error('enough');
    const darkroom = client();
    const first = darkroom.downloadImage(imageId, path, {
      signal: abort.signal,
      onProgress: ({ receivedBytes }) => {
        if (receivedBytes > 8 * mib) {
          abort.abort(reason);
        }
      },
    });
    await expect(first).rejects.toBe(reason);
    const result = await darkroom.downloadImage(imageId, path);
    expect(result.sha256).toBe(sha256);
    expect(result.receivedBytes).toBeLessThan(bytes.length - 80 * mib - 7 * mib);
    expect((await readFile(path)).equals(bytes)).toBe(true);
  });

  test('whose part was altered fails, leaves nothing, and succeeds when it is done again', async () => {
    const path = join(folder, 'altered');
    const part = `${path}.${imageId}.part`;
    const wrong = Buffer.from(bytes);
    wrong[5] = wrong[5]! ^ 1;
    await writeFile(part, wrong);
    const done = [[0, 60 * mib]];
    const record = { imageId, sha256, sizeBytes: bytes.length, done };
    await writeFile(`${part}.json`, JSON.stringify(record));
    const darkroom = client();
    await expect(darkroom.downloadImage(imageId, path)).rejects.toMatchObject({
      reason: 'DIGEST_MISMATCH',
      origin: 'client',
    });
    expect((await readdir(folder)).filter((name) => name.startsWith('altered'))).toEqual([]);
    expect((await darkroom.downloadImage(imageId, path)).sha256).toBe(sha256);
  });

  test('whose record was cut short, or is of another image, begins anew', async () => {
    for (const [name, record] of [
      ['cut', '{"imageId":'],
      ['other', JSON.stringify({ imageId, sha256: 'x', sizeBytes: 1, done: [[0, 1]] })],
    ] as const) {
      const path = join(folder, name);
      await writeFile(`${path}.${imageId}.part.json`, record);
      const result = await client().downloadImage(imageId, path);
      expect(result.receivedBytes).toBe(71 * mib + 3);
    }
  });

  test('of a link writes what the link is to', async () => {
    await writeFile(join(folder, 'linked'), 'old');
    await symlink(join(folder, 'linked'), join(folder, 'link'));
    await client().downloadImage(imageId, join(folder, 'link'));
    expect((await stat(join(folder, 'linked'))).size).toBe(bytes.length);
  });

  test('that cannot be written fails as TARGET_UNWRITABLE', async () => {
    await mkdir(join(folder, 'there'));
    for (const path of [join(folder, 'there'), join(folder, 'absent', 'file'), '/dev/full']) {
      await expect(client().downloadImage(imageId, path)).rejects.toMatchObject({
        reason: 'TARGET_UNWRITABLE',
      });
    }
  });
});

test('a download to a stream of Node ends it when it is whole, and destroys it when it is not', async () => {
  const path = join(folder, 'streamed');
  await client().downloadImage(imageId, createWriteStream(path));
  expect((await readFile(path)).equals(bytes)).toBe(true);
  const target = createWriteStream(join(folder, 'never'));
  await expect(
    client().downloadImage('01a200b7-0307-746b-b556-68c748a66a23', target),
  ).rejects.toMatchObject({ reason: 'IMAGE_NOT_FOUND' });
  expect(target.destroyed).toBe(true);
});
