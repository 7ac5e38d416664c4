import { randomBytes } from 'node:crypto';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { defaultCaller } from '../../../src/access/caller.ts';
import type { TaskId } from '../../../src/records/ids.ts';
import type { DiskFormat } from '../../../src/records/image.ts';
import { useDatabase } from '../../support/test-database.ts';
import {
  chunk,
  connection,
  download,
  failureOf,
  finish,
  framesOf,
  header,
  openUploadWorld,
  queueImage,
  readFaults,
  readImage,
  readTask,
  retryTask,
  sha256,
  type UploadWorld,
  type UploadWorldOptions,
} from '../../support/upload-world.ts';
import { FaultyStore } from '../faulty-store.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const database = useDatabase();

/** A disk of which much is zeros. */
const content = Buffer.concat([
  randomBytes(700 * KiB),
  Buffer.alloc(900 * KiB),
  randomBytes(77_777),
]);
const packed = gzipSync(content);

interface Sent {
  readonly diskFormat?: DiskFormat;
  readonly size?: number;
  readonly sha256?: string;
  readonly idleTimeoutMs?: number;
}

function queue(stated: Sent = {}) {
  return queueImage(database(), { decompress: true, ...stated });
}

function send({ uploads }: UploadWorld, taskId: TaskId, bytes: Buffer, digest?: string) {
  const chunks = [];
  for (let at = 0; at < bytes.length; at += 200 * KiB) {
    chunks.push(chunk(at, bytes.subarray(at, at + 200 * KiB)));
  }
  const frames = framesOf(header(taskId), ...chunks, finish(bytes.length, digest));
  return uploads.receive(defaultCaller, frames, connection());
}

function sendFinish({ uploads }: UploadWorld, taskId: TaskId, size: number, digest?: string) {
  return uploads.receive(
    defaultCaller,
    framesOf(header(taskId), finish(size, digest)),
    connection(),
  );
}

async function world(options: UploadWorldOptions = {}): Promise<UploadWorld> {
  return openUploadWorld(database(), options);
}

/** The segments of a store; what is being removed is waited for. */
async function segmentsOf({ store, reaper }: UploadWorld): Promise<number> {
  await reaper.settle();
  return (await Array.fromAsync(store.list())).length;
}

describe('an upload that is to be unpacked', () => {
  test.for([
    ['gzip', gzipSync(content)],
    ['zstd', zstdCompressSync(content)],
  ] as const)('becomes what is inside of the %s, with both digests', async ([format, bytes]) => {
    const theWorld = await world();
    const { imageId, taskId } = await queue();
    const outcome = await send(theWorld, taskId, bytes, sha256(bytes));
    expect(outcome).toMatchObject({ complete: true, committedSize: bytes.length });
    expect(await readImage(database(), imageId)).toMatchObject({
      state: 'ACTIVE',
      containerFormat: 'BARE',
      sizeBytes: content.length,
      virtualSizeBytes: content.length,
      sha256: sha256(content),
      packedFormat: format,
      packedSizeBytes: bytes.length,
      packedSha256: sha256(bytes),
    });
    expect((await download(theWorld, imageId)).equals(content)).toBe(true);
    expect(await readTask(database(), taskId)).toMatchObject({
      state: 'SUCCEEDED',
      committedSize: bytes.length,
      unpackedSize: bytes.length,
      blobId: null,
      faultCount: 0,
    });
    expect(await segmentsOf(theWorld)).toBe(1);
    expect(await theWorld.repair.run()).toMatchObject({ filesRemoved: 0 });
  });

  test('tells its phases to those who watch', async () => {
    const { taskId } = await queue();
    await send(await world(), taskId, packed);
    const { rows } = await database().pool.query<{ phase: string }>(
      'select phase from task_events where task_id = $1 order by revision',
      [taskId],
    );
    expect(rows.map(({ phase }) => phase)).toEqual([
      'WAITING_FOR_DATA',
      'RECEIVING',
      'VERIFYING',
      'UNPACKING',
      'PUBLISHING',
      'PUBLISHING',
    ]);
  });

  test('takes up no room for zeros', async () => {
    const theWorld = await world();
    const { imageId, taskId } = await queue();
    await send(theWorld, taskId, packed);
    const { blobId } = await readImage(database(), imageId);
    const { rows } = await database().pool.query<{ length: string; stored_bytes: string }>(
      'select length, stored_bytes from blob_segments where blob_id = $1',
      [blobId],
    );
    expect(Number(rows[0]?.length)).toBe(content.length);
    expect(Number(rows[0]?.stored_bytes)).toBeLessThan(content.length - 800 * KiB);
  });

  test('goes on after a break, and is held against what was stated of the bytes that come', async () => {
    const theWorld = await world();
    const { imageId, taskId } = await queue({ size: packed.length, sha256: sha256(packed) });
    const half = framesOf(header(taskId), chunk(0, packed.subarray(0, 100_000)));
    await theWorld.uploads.receive(defaultCaller, half, connection());
    await send(theWorld, taskId, packed);
    expect(await readImage(database(), imageId)).toMatchObject({ sha256: sha256(content) });
  });

  test('fails if the digest of the bytes that came is another, and nothing is unpacked', async () => {
    const theWorld = await world();
    const { taskId } = await queue({ sha256: sha256(content) });
    expect(await failureOf(send(theWorld, taskId, packed))).toMatchObject({
      reason: 'DIGEST_MISMATCH',
    });
    expect(await readTask(database(), taskId)).toMatchObject({ state: 'FAILED', unpackedSize: 0 });
  });

  test.for([
    ['is cut short', packed.subarray(0, -1), 'they end before'],
    ['lacks its half', packed.subarray(0, packed.length >> 1), 'they end before'],
    ['was altered', altered(packed), 'are damaged'],
    ['has garbage after it', Buffer.concat([packed, Buffer.from('garbage')]), 'are damaged'],
    ['has a member after zeros', Buffer.concat([packed, Buffer.alloc(512), packed]), 'followed'],
    [
      'lacks the end of its last member',
      Buffer.concat([packed, packed.subarray(0, 999)]),
      'they end before',
    ],
  ] as const)('fails if it %s, and no image comes of it', async ([, bytes, words]) => {
    const theWorld = await world();
    const { imageId, taskId } = await queue();
    const failure = await failureOf(send(theWorld, taskId, bytes));
    expect(failure.reason).toBe('COMPRESSION_INVALID');
    expect(failure.message).toContain(words);
    expect(await readTask(database(), taskId)).toMatchObject({ state: 'FAILED' });
    expect(await readFaults(database(), taskId)).toMatchObject([
      { reason: 'COMPRESSION_INVALID', fatal: true, phase: 'UNPACKING' },
    ]);
    expect(await readImage(database(), imageId)).toMatchObject({
      state: 'QUEUED',
      outlook: 'NOT_COMING',
      packedSha256: null,
    });
    // The bytes that came, for a retry to be asked for.
    expect(await segmentsOf(theWorld)).toBe(1);
  });

  test('is refused by its first bytes if they are not compressed', async () => {
    const { taskId } = await queue();
    const failure = await failureOf(send(await world(), taskId, randomBytes(100_000)));
    expect(failure.reason).toBe('FORMAT_MISMATCH');
    expect(await readTask(database(), taskId)).toMatchObject({ state: 'FAILED' });
  });

  test('fails if it is not compressed, even where formats are only recorded', async () => {
    const { taskId } = await queue();
    const theWorld = await world({ limits: { formatCheck: 'record' } });
    const failure = await failureOf(send(theWorld, taskId, randomBytes(100_000)));
    expect(failure.reason).toBe('COMPRESSION_INVALID');
  });

  test('fails if what is inside is not of the declared format, or only records it', async () => {
    const first = await queue({ diskFormat: 'QCOW2' });
    expect(await failureOf(send(await world(), first.taskId, packed))).toMatchObject({
      reason: 'FORMAT_MISMATCH',
    });
    const second = await queue({ diskFormat: 'QCOW2' });
    await send(await world({ limits: { formatCheck: 'record' } }), second.taskId, packed);
    expect(await readFaults(database(), second.taskId)).toMatchObject([
      { reason: 'FORMAT_MISMATCH', fatal: false },
    ]);
    expect((await readImage(database(), second.imageId)).state).toBe('ACTIVE');
  });

  test('fails if what is inside is compressed once more', async () => {
    const { taskId } = await queue();
    expect(await failureOf(send(await world(), taskId, gzipSync(packed)))).toMatchObject({
      reason: 'FORMAT_MISMATCH',
    });
  });

  test('fails if what is inside is larger than is taken, or takes up too much room', async () => {
    const theWorld = await world({
      limits: { maxUnpackedBytes: 200 * MiB, maxImageBytes: 300 * MiB, maxUnpackedRatio: 2 },
    });
    const zeros = await queue();
    expect(
      await failureOf(send(theWorld, zeros.taskId, gzipSync(Buffer.alloc(201 * MiB)))),
    ).toMatchObject({
      reason: 'SIZE_EXCEEDED',
      metadata: { limit: String(200 * MiB) },
    });
    const full = await queue();
    const bomb = gzipSync(Buffer.alloc(150 * MiB, 0x41));
    expect(await failureOf(send(theWorld, full.taskId, bomb))).toMatchObject({
      reason: 'SIZE_EXCEEDED',
      metadata: { limit: String(64 * MiB + 2 * bomb.length) },
    });
    const sparse = await queue();
    await send(theWorld, sparse.taskId, gzipSync(Buffer.alloc(150 * MiB)));
    expect((await readImage(database(), sparse.imageId)).sizeBytes).toBe(150 * MiB);
    expect(await segmentsOf(theWorld)).toBe(3);
  });

  test('is answered again if its finish is sent again, but its bytes cannot be compared', async () => {
    const theWorld = await world();
    const { taskId } = await queue();
    await send(theWorld, taskId, packed, sha256(packed));
    const again = await sendFinish(theWorld, taskId, packed.length, sha256(packed));
    expect(again).toMatchObject({ complete: true, committedSize: packed.length });
    expect(await failureOf(sendFinish(theWorld, taskId, content.length))).toMatchObject({
      reason: 'SIZE_SHORT',
    });
    expect(
      await failureOf(sendFinish(theWorld, taskId, packed.length, sha256(content))),
    ).toMatchObject({ reason: 'DIGEST_MISMATCH' });
    const failure = await failureOf(send(theWorld, taskId, packed));
    expect(failure.reason).toBe('IMAGE_STATE_INVALID');
    expect(failure.message).toContain('Send the finish alone');
    expect((await readTask(database(), taskId)).state).toBe('SUCCEEDED');
  });
});

describe('a disk that fails while an image is unpacked', () => {
  test('leaves a task that goes on without its bytes being sent again', async () => {
    const disk = new FaultyStore();
    const theWorld = await world({ wrapStore: disk.wrap, limits: { commitBytes: 256 * KiB } });
    const { imageId, taskId } = await queue();
    const sent = framesOf(header(taskId), chunk(0, packed.subarray(0, 256 * KiB)));
    await theWorld.uploads.receive(defaultCaller, sent, connection());
    for (let at = 256 * KiB; at < packed.length; at += 200 * KiB) {
      const more = framesOf(header(taskId), chunk(at, packed.subarray(at, at + 200 * KiB)));
      await theWorld.uploads.receive(defaultCaller, more, connection());
    }
    disk.break('append', 'ENOSPC');
    expect(await failureOf(sendFinish(theWorld, taskId, packed.length))).toMatchObject({
      reason: 'STORAGE_FULL',
    });
    expect(await readTask(database(), taskId)).toMatchObject({
      state: 'RUNNING',
      phase: 'UNPACKING',
      writerProcessId: null,
    });
    const count = await segmentsOf(theWorld);
    disk.mend();
    expect(await theWorld.repair.run()).toMatchObject({ finishesTakenUp: 1 });
    await theWorld.repair.settle();
    expect(await readImage(database(), imageId)).toMatchObject({
      state: 'ACTIVE',
      sha256: sha256(content),
      packedSha256: sha256(packed),
    });
    expect(await segmentsOf(theWorld)).toBe(1);
    expect(count).toBe(1);
  });

  test('fails the task after so many tries, whose retry needs the finish alone', async () => {
    const disk = new FaultyStore();
    const theWorld = await world({ wrapStore: disk.wrap });
    const { imageId, taskId } = await queue();
    const small = gzipSync(randomBytes(50_000));
    const sent = framesOf(header(taskId), chunk(0, small));
    await theWorld.uploads.receive(defaultCaller, sent, connection());
    disk.break('append', 'ENOSPC');
    let tries = 0;
    while ((await readTask(database(), taskId)).state === 'RUNNING' && tries < 50) {
      await failureOf(sendFinish(theWorld, taskId, small.length));
      tries += 1;
    }
    expect(tries).toBe(21);
    const faults = await readFaults(database(), taskId);
    expect(faults.at(-1)).toMatchObject({ reason: 'STORAGE_FULL', fatal: true, retryable: true });
    expect(faults.at(-1)?.message).toContain('the last of 20 tries');
    disk.mend();
    const retried = await retryTask(theWorld, taskId, true);
    await sendFinish(theWorld, retried, small.length);
    expect((await readImage(database(), imageId)).packedSha256).toBe(sha256(small));
    expect(await readTask(database(), retried)).toMatchObject({ decompress: true });
  });
});

function altered(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const middle = copy.length >> 1;
  copy[middle] = (copy[middle] ?? 0) ^ 0x55;
  return copy;
}
