import { createHash, randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { defaultCaller } from '../../src/access/caller.ts';
import { newId, type ImageId } from '../../src/records/ids.ts';
import { deleteImage } from '../../src/images/delete-image.ts';
import {
  downloadImage,
  type DownloadPart,
  type DownloadRange,
} from '../../src/images/download-image.ts';
import { BlobReaper } from '../../src/storage/blob-reaper.ts';
import type { BlobStore, SegmentReader } from '../../src/storage/blob-store.ts';
import { connectTestDatabase } from '../support/test-database.ts';
import {
  chunk,
  connection,
  downloadsOf,
  finish,
  framesOf,
  header,
  openUploadWorld,
  queueImage,
  type UploadWorld,
} from '../support/upload-world.ts';
import { alteredStore } from '../storage/altered-store.ts';
import { darkroomErrorOf } from '../storage/blob-store-contract.ts';

const KiB = 1024;
const whole: DownloadRange = { offset: 0, length: undefined };

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** Uploads bytes, one stream and so one segment for each piece. */
async function upload(world: UploadWorld, ...pieces: Uint8Array[]): Promise<ImageId> {
  const { imageId, taskId } = await queueImage(world.database);
  let position = 0;
  let epoch: number | undefined;
  for (const piece of pieces) {
    const frames = [header(taskId, epoch)];
    for (let at = 0; at < piece.length; at += 256 * KiB) {
      frames.push(chunk(position + at, piece.subarray(at, at + 256 * KiB)));
    }
    position += piece.length;
    const isLast = piece === pieces.at(-1);
    await world.uploads.receive(
      defaultCaller,
      framesOf(...frames, ...(isLast ? [finish(position)] : [])),
      connection(),
    );
    if (!isLast) {
      ({ writerEpoch: epoch } = await world.uploads.resume(defaultCaller, taskId, 'test'));
    }
  }
  return imageId;
}

function download(
  world: UploadWorld,
  imageId: ImageId,
  range: DownloadRange = whole,
  store = world.store,
): AsyncGenerator<DownloadPart, void, undefined> {
  return downloadImage(downloadsOf({ ...world, store }), defaultCaller, imageId, range);
}

/** The bytes of the parts, which must follow each other from `offset` on. */
function bytesOf(parts: readonly DownloadPart[], offset: number): Buffer {
  const bytes: Uint8Array[] = [];
  let position = offset;
  for (const part of parts) {
    if (part.kind !== 'trailer') {
      expect(part.offset).toBe(position);
      const data = part.kind === 'chunk' ? part.data : Buffer.alloc(part.length);
      bytes.push(data);
      position += data.byteLength;
    }
  }
  return Buffer.concat(bytes);
}

async function failureOf(world: UploadWorld, imageId: ImageId, range = whole) {
  return darkroomErrorOf(Array.fromAsync(download(world, imageId, range)));
}

async function segmentFiles(world: UploadWorld): Promise<string[]> {
  const ids = await Array.fromAsync(world.store.list());
  return ids.map((id) => join(world.folder, id.slice(-2), id));
}

/** Deletes an image, and its bytes at once. */
async function deleteWithBytes(world: UploadWorld, imageId: ImageId): Promise<void> {
  await deleteImage(world.database, defaultCaller, { imageId, etag: '' }, () => {});
  await new BlobReaper(world.database, world.store, pino({ level: 'silent' })).reap();
  expect(await segmentFiles(world)).toEqual([]);
}

/** A store that counts the readers that are open. */
function countingReaders(store: BlobStore): { store: BlobStore; open: () => number } {
  const open = new Set<SegmentReader>();
  const counting = alteredStore(store, {
    async openReader(id) {
      const reader = await store.openReader(id);
      open.add(reader);
      return {
        read: (offset, target) => reader.read(offset, target),
        async close() {
          await reader.close();
          open.delete(reader);
        },
      };
    },
  });
  return { store: counting, open: () => open.size };
}

test('a range is answered with just its bytes, and a trailer about the whole image', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const data = Buffer.concat([randomBytes(1_500_000), Buffer.alloc(900_000), randomBytes(100_001)]);
  const imageId = await upload(world, data.subarray(0, 700_000), data.subarray(700_000));
  const size = data.length;
  const ranges: DownloadRange[] = [
    whole,
    { offset: 0, length: 1 },
    { offset: 0, length: 4096 },
    { offset: 699_990, length: 20 },
    { offset: 1_234_567, length: 700_001 },
    { offset: 1_600_001, length: 5000 },
    { offset: size - 1, length: 1 },
    { offset: size - 10, length: undefined },
    { offset: size - 10, length: 1000 },
    { offset: 5, length: Number.MAX_SAFE_INTEGER },
    { offset: size, length: undefined },
    { offset: size, length: 1 },
  ];
  for (const range of ranges) {
    const parts = await Array.fromAsync(download(world, imageId, range));
    const end = Math.min(size, range.offset + (range.length ?? size));
    const wanted = data.subarray(range.offset, end);
    expect(bytesOf(parts, range.offset).equals(wanted), JSON.stringify(range)).toBe(true);
    expect(parts.at(-1)).toEqual({
      kind: 'trailer',
      totalSize: size,
      sha256: sha256(data),
      rangeSize: wanted.length,
    });
    expect(parts.filter(({ kind }) => kind === 'trailer')).toHaveLength(1);
  }
});

test('an image without bytes is answered with its trailer', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const imageId = await upload(world, new Uint8Array());
  expect(await Array.fromAsync(download(world, imageId))).toEqual([
    { kind: 'trailer', totalSize: 0, sha256: sha256(new Uint8Array()), rangeSize: 0 },
  ]);
});

test('zeros travel as one hole however far they go, and few of them travel as they are', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const data = Buffer.concat([
    randomBytes(4096),
    Buffer.alloc(8192),
    randomBytes(4096),
    Buffer.alloc(3 * 1024 * KiB),
    randomBytes(4096),
  ]);
  const imageId = await upload(world, data.subarray(0, 2_000_000), data.subarray(2_000_000));
  const parts = await Array.fromAsync(download(world, imageId));
  expect(parts.map((part) => part.kind)).toEqual(['chunk', 'hole', 'chunk', 'trailer']);
  expect(parts[1]).toEqual({ kind: 'hole', offset: 16_384, length: 3 * 1024 * KiB });
  expect(bytesOf(parts, 0).equals(data)).toBe(true);
});

test('an image that is zeros only is one hole', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const imageId = await upload(world, new Uint8Array(2 * 1024 * KiB));
  expect((await Array.fromAsync(download(world, imageId))).slice(0, -1)).toEqual([
    { kind: 'hole', offset: 0, length: 2 * 1024 * KiB },
  ]);
});

test('a download goes on when its image is deleted meanwhile', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const data = randomBytes(4 * 1024 * KiB);
  const imageId = await upload(world, data);
  const parts: DownloadPart[] = [];
  for await (const part of download(world, imageId)) {
    if (parts.length === 0) {
      await deleteWithBytes(world, imageId);
    }
    parts.push(part);
  }
  expect(bytesOf(parts, 0).equals(data)).toBe(true);
  expect(parts.at(-1)).toMatchObject({ kind: 'trailer', rangeSize: data.length });
});

test('a download by another project goes on when its image is hidden meanwhile, and the next one is refused', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const data = randomBytes(4 * 1024 * KiB);
  const imageId = await upload(world, data);
  const show = (visibility: string) =>
    world.database.pool.query('update images set visibility = $2 where id = $1', [
      imageId,
      visibility,
    ]);
  const byOther = () =>
    downloadImage(downloadsOf(world), { ...defaultCaller, projectId: 'other' }, imageId, whole);
  await show('COMMUNITY');
  const parts = byOther();
  const first = await parts.next();
  await show('PRIVATE');
  const rest = await Array.fromAsync(parts);
  expect(bytesOf([first.value!, ...rest], 0).equals(data)).toBe(true);
  expect(rest.at(-1)).toMatchObject({ kind: 'trailer', rangeSize: data.length });
  const { reason } = await darkroomErrorOf(Array.fromAsync(byOther()));
  expect(reason).toBe('IMAGE_NOT_FOUND');
});

test('a download goes on over all its segments when its image is deleted meanwhile', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const pieces = [randomBytes(3_000_000), randomBytes(100), randomBytes(100)];
  const imageId = await upload(world, ...pieces);
  const parts = download(world, imageId);
  const first = await parts.next();
  await deleteWithBytes(world, imageId);
  const rest = await Array.fromAsync(parts);
  expect(bytesOf([first.value!, ...rest], 0).equals(Buffer.concat(pieces))).toBe(true);
});

test('a download whose image is deleted before its bytes are opened says that, and not that they were lost', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const imageId = await upload(world, randomBytes(1000));
  const { store } = world;
  const late = alteredStore(store, {
    async openReader(id) {
      await deleteWithBytes(world, imageId);
      return store.openReader(id);
    },
  });
  const parts = download(world, imageId, whole, late);
  expect(await darkroomErrorOf(Array.fromAsync(parts))).toMatchObject({
    reason: 'IMAGE_STATE_INVALID',
    metadata: { state: 'DELETED', outlook: 'NOT_COMING' },
  });
});

test('a file that is lost is told as stored bytes that were lost', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const imageId = await upload(world, randomBytes(10_000));
  for (const file of await segmentFiles(world)) {
    await rm(file);
  }
  expect(await failureOf(world, imageId)).toMatchObject({ reason: 'STORED_BYTES_LOST' });
});

test('a consumer that stops early leaves no segment open', async () => {
  const world = await openUploadWorld(await connectTestDatabase());
  const imageId = await upload(world, randomBytes(1_600_000), randomBytes(1_600_000));
  for (const stopAfter of [1, 2, 3]) {
    const readers = countingReaders(world.store);
    let taken = 0;
    for await (const _ of download(world, imageId, whole, readers.store)) {
      if (++taken === stopAfter) {
        break;
      }
    }
    // Whatever went on in the background would open the second segment meanwhile.
    await segmentFiles(world);
    expect(readers.open()).toBe(0);
  }
});

describe('a download is refused', () => {
  test('beyond the image’s end', async () => {
    const world = await openUploadWorld(await connectTestDatabase());
    const imageId = await upload(world, randomBytes(100));
    expect(await failureOf(world, imageId, { offset: 101, length: undefined })).toMatchObject({
      reason: 'OFFSET_OUT_OF_RANGE',
      metadata: { size_bytes: '100' },
    });
  });

  test('for ranges that make no sense, naming the fields', async () => {
    const world = await openUploadWorld(await connectTestDatabase());
    const cases: [DownloadRange, string[]][] = [
      [{ offset: -1, length: undefined }, ['offset']],
      [{ offset: 2 ** 53, length: undefined }, ['offset']],
      [{ offset: 0, length: 0 }, ['length']],
      [{ offset: 0, length: 2 ** 53 }, ['length']],
      [{ offset: -1, length: -1 }, ['offset', 'length']],
    ];
    for (const [range, fields] of cases) {
      const failure = await failureOf(world, newId<ImageId>(), range);
      expect(failure.reason).toBe('FIELD_INVALID');
      expect(failure.fieldViolations.map(({ field }) => field)).toEqual(fields);
    }
  });

  test('for an image that is not there', async () => {
    const world = await openUploadWorld(await connectTestDatabase());
    expect(await failureOf(world, newId<ImageId>())).toMatchObject({ reason: 'IMAGE_NOT_FOUND' });
  });

  test('for an image whose bytes are still to come, and says so', async () => {
    const world = await openUploadWorld(await connectTestDatabase());
    const { imageId } = await queueImage(world.database);
    const failure = await failureOf(world, imageId);
    expect(failure).toMatchObject({
      reason: 'IMAGE_STATE_INVALID',
      metadata: { state: 'QUEUED', outlook: 'EXPECTED' },
    });
    expect(failure.message).toContain('watch its latest task');
  });

  test('for an image whose bytes will not come, and says so', async () => {
    const world = await openUploadWorld(await connectTestDatabase());
    const { imageId, taskId } = await queueImage(world.database);
    await darkroomErrorOf(
      world.uploads.receive(
        defaultCaller,
        framesOf(header(taskId), chunk(0, randomBytes(10)), finish(10, '0'.repeat(64))),
        connection(),
      ),
    );
    const failure = await failureOf(world, imageId);
    expect(failure).toMatchObject({
      reason: 'IMAGE_STATE_INVALID',
      metadata: { state: 'QUEUED', outlook: 'NOT_COMING' },
    });
    expect(failure.message).toContain('will not come');
  });
});
