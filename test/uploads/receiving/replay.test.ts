import { randomBytes } from 'node:crypto';
import { crc32c } from '@node-rs/crc32';
import { describe, expect, test } from 'vitest';
import { defaultCaller } from '../../../src/access/caller.ts';
import type { ImageId, TaskId } from '../../../src/records/ids.ts';
import { deleteImage } from '../../../src/images/delete-image.ts';
import type { UploadFrame } from '../../../src/uploads/receiving/upload-frame.ts';
import type { UploadOutcome } from '../../../src/uploads/receiving/upload-service.ts';
import { useDatabase } from '../../support/test-database.ts';
import {
  chunk,
  connection,
  failureOf,
  finish,
  framesOf,
  header,
  hole,
  openUploadWorld,
  queueImage,
  readFaults,
  readImage,
  readTask,
  sha256,
  useUploadWorld,
} from '../../support/upload-world.ts';
import { committed, dataFrames, expectActive } from '../complete-upload.ts';
import { FaultyStore } from '../faulty-store.ts';
import { PushedFrames } from '../pushed-frames.ts';

const database = useDatabase();
const world = useUploadWorld(database);

/** Bytes, zeros, bytes: the zeros from 100,000 to 200,000. */
const data = Buffer.concat([randomBytes(100_000), Buffer.alloc(100_000), randomBytes(50_000)]);

function receive(...frames: UploadFrame[]): Promise<UploadOutcome> {
  return world().uploads.receive(defaultCaller, framesOf(...frames), connection());
}

/** A chunk of bytes that are none of the image's. */
function altered(offset: number, length: number): UploadFrame {
  const bytes = Buffer.from(data.subarray(offset, offset + length));
  bytes[length - 1] = bytes[length - 1]! ^ 0xff;
  return chunk(offset, bytes);
}

const same: Record<string, readonly UploadFrame[]> = {
  'the whole prefix': [chunk(0, data.subarray(0, 150_000))],
  'a part of it': [chunk(70_001, data.subarray(70_001, 70_002))],
  'what came last': [chunk(140_000, data.subarray(140_000, 150_000))],
  'more than is there': [chunk(140_000, data.subarray(140_000, 170_000))],
  'zeros as a hole': [hole(100_000, 50_000)],
  'zeros as a hole that goes on': [hole(120_000, 50_000)],
  'zeros as bytes': [chunk(100_000, Buffer.alloc(50_000))],
  'everything, in pieces': [
    chunk(0, data.subarray(0, 99_999)),
    chunk(99_999, data.subarray(99_999, 100_001)),
    hole(100_001, 49_999),
  ],
  'the same twice': [
    chunk(50_000, data.subarray(50_000, 60_000)),
    chunk(50_000, data.subarray(50_000, 60_000)),
  ],
};
const different: Record<string, readonly UploadFrame[]> = {
  'one other byte': [altered(70_000, 1)],
  'one other byte at the end of what is there': [altered(140_000, 10_000)],
  'zeros where there are bytes': [hole(99_990, 20)],
  'bytes where there are zeros': [altered(100_000, 50_000)],
};

describe('on a live stream', () => {
  test.each(Object.entries(same))('%s is taken again', async (_, frames) => {
    const { imageId, taskId } = await queueImage(database());
    const first = dataFrames(data, 0, 150_000);
    const end = Math.max(
      150_000,
      ...frames.map((frame) =>
        frame.kind === 'hole'
          ? frame.offset + frame.length
          : frame.kind === 'chunk'
            ? frame.offset + frame.data.byteLength
            : 0,
      ),
    );
    await receive(
      header(taskId),
      ...first,
      ...frames.map(copyOf),
      ...dataFrames(data, end),
      finish(data.length, sha256(data)),
    );
    await expectActive(world(), imageId, data);
    expect(await readFaults(database(), taskId)).toEqual([]);
  });

  test.each(Object.entries(different))('%s is refused', async (_, frames) => {
    const { taskId } = await queueImage(database());
    const failure = await failureOf(
      receive(header(taskId), ...dataFrames(data, 0, 150_000), ...frames.map(copyOf)),
    );
    expect(failure).toMatchObject({ reason: 'REPLAY_MISMATCH' });
    expect(await readTask(database(), taskId)).toMatchObject({
      state: 'RUNNING',
      committedSize: 150_000,
    });
  });
});

test('on a later stream, over the segments of several writers', async () => {
  const { imageId, taskId } = await queueImage(database());
  for (const [start, end] of [
    [0, 60_000],
    [60_000, 110_000],
    [110_000, 150_000],
  ] as const) {
    const { writerEpoch } = await world().uploads.resume(defaultCaller, taskId, 'test');
    await receive(header(taskId, writerEpoch), ...dataFrames(data, start, end));
  }
  const { writerEpoch } = await world().uploads.resume(defaultCaller, taskId, 'test');
  await receive(header(taskId, writerEpoch), ...Object.values(same).flat().map(copyOf));
  for (const frames of Object.values(different)) {
    expect(await failureOf(receive(header(taskId), ...frames.map(copyOf)))).toMatchObject({
      reason: 'REPLAY_MISMATCH',
    });
  }
  await receive(header(taskId), ...dataFrames(data), finish(data.length, sha256(data)));
  await expectActive(world(), imageId, data);
});

describe('on a stream that begins at a guess', () => {
  async function committedPrefix(): Promise<{ imageId: ImageId; taskId: TaskId }> {
    const queued = await queueImage(database());
    await receive(header(queued.taskId), ...dataFrames(data, 0, 150_000));
    return queued;
  }

  test('what lies between two frames may be left out, up to the end of what is committed', async () => {
    const { imageId, taskId } = await committedPrefix();
    await receive(
      header(taskId),
      chunk(0, data.subarray(0, 10_000)),
      hole(120_000, 5000),
      chunk(60_000, data.subarray(60_000, 60_001)),
      chunk(150_000, data.subarray(150_000, 160_000)),
      chunk(20_000, data.subarray(20_000, 30_000)),
      chunk(155_000, data.subarray(155_000, 170_000)),
      ...dataFrames(data, 170_000),
      finish(data.length, sha256(data)),
    );
    await expectActive(world(), imageId, data);
    expect(await readFaults(database(), taskId)).toEqual([]);
  });

  test.each([
    ['a chunk', chunk(150_001, data.subarray(150_001, 160_000))],
    ['a hole', hole(150_001, 10)],
  ])('%s that begins one byte after that end is refused', async (_, frame) => {
    const { taskId } = await committedPrefix();
    const failure = await failureOf(
      receive(header(taskId), chunk(0, data.subarray(0, 10_000)), copyOf(frame)),
    );
    expect(failure).toMatchObject({
      reason: 'OFFSET_MISMATCH',
      metadata: { expected_offset: '150000', offset: '150001' },
    });
    expect(await readTask(database(), taskId)).toMatchObject({ committedSize: 150_000 });
  });

  test('a finish counts what is committed, not what the stream sent', async () => {
    const { imageId, taskId } = await committedPrefix();
    await receive(header(taskId), ...dataFrames(data, 150_000));
    await receive(
      header(taskId),
      chunk(0, data.subarray(0, 10_000)),
      chunk(100_000, data.subarray(100_000, 110_000)),
      finish(data.length, sha256(data)),
    );
    await expectActive(world(), imageId, data);
  });
});

describe('on an upload that is done', () => {
  async function upload(): Promise<{ imageId: ImageId; taskId: TaskId }> {
    const queued = await queueImage(database());
    await receive(header(queued.taskId), ...dataFrames(data), finish(data.length));
    return queued;
  }

  test('the same stream, and any part of it, gets the same answer again', async () => {
    const { imageId, taskId } = await upload();
    const before = await readTask(database(), taskId);
    const answer = { taskId, committedSize: data.length, complete: true };
    for (const frames of [
      [...dataFrames(data), finish(data.length, sha256(data))],
      [finish(data.length)],
      [finish(data.length, sha256(data).toUpperCase())],
      [chunk(7, data.subarray(7, 9), crc32c(data.subarray(7, 9)))],
      [hole(100_000, 100_000), finish(data.length)],
      [],
    ]) {
      expect(await receive(header(taskId), ...frames)).toMatchObject(answer);
    }
    const { writerEpoch } = await world().uploads.resume(defaultCaller, taskId, 'test');
    expect(await receive(header(taskId, writerEpoch), finish(data.length))).toMatchObject(answer);
    // By single calls as well.
    const calls = [
      { frame: undefined, finish: { totalSize: data.length, sha256: undefined } },
      { frame: chunk(0, data.subarray(0, 50_000)), finish: undefined },
      {
        frame: hole(150_000, 50_000),
        finish: { totalSize: data.length, sha256: sha256(data) },
      },
    ];
    for (const call of calls) {
      const outcome = await world().uploads.receiveCall(
        defaultCaller,
        { taskId, writerEpoch: undefined, ...call },
        'test',
      );
      expect(outcome).toMatchObject(answer);
    }
    expect(await readTask(database(), taskId)).toEqual(before);
    await expectActive(world(), imageId, data);
  });

  test('anything else is refused, and changes nothing', async () => {
    const { imageId, taskId } = await upload();
    const before = await readTask(database(), taskId);
    const refused: [UploadFrame[], string][] = [
      [[altered(0, 5)], 'REPLAY_MISMATCH'],
      [[hole(99_999, 2)], 'REPLAY_MISMATCH'],
      [[chunk(data.length, Buffer.from('more'))], 'SIZE_EXCEEDED'],
      [[hole(200_000, 50_001)], 'SIZE_EXCEEDED'],
      [[chunk(0, data.subarray(0, 5), 1)], 'CHUNK_CHECKSUM_MISMATCH'],
      [[chunk(-1, data.subarray(0, 5))], 'FIELD_INVALID'],
      [[finish(data.length - 1)], 'SIZE_EXCEEDED'],
      [[finish(data.length + 1)], 'SIZE_SHORT'],
      [[finish(data.length, '0'.repeat(64))], 'DIGEST_MISMATCH'],
      [[finish(data.length), finish(data.length)], 'FRAME_ORDER'],
      [[header(taskId)], 'FRAME_ORDER'],
    ];
    for (const [frames, reason] of refused) {
      expect(await failureOf(receive(header(taskId), ...frames))).toMatchObject({ reason });
    }
    expect(await readTask(database(), taskId)).toEqual(before);
    await expectActive(world(), imageId, data);
  });

  test('a finish gets its answer even when the image is deleted, but bytes cannot be compared', async () => {
    const { imageId, taskId } = await upload();
    await deleteImage(database(), defaultCaller, { imageId, etag: '' }, () =>
      world().reaper.wake(),
    );
    await world().reaper.settle();
    expect((await readImage(database(), imageId)).state).toBe('DELETED');
    expect(await receive(header(taskId), finish(data.length, sha256(data)))).toMatchObject({
      complete: true,
      committedSize: data.length,
    });
    expect(await failureOf(receive(header(taskId), ...dataFrames(data)))).toMatchObject({
      reason: 'IMAGE_STATE_INVALID',
    });
  });

  test('an image that is deleted while its bytes are compared is told as deleted', async () => {
    const { imageId, taskId } = await upload();
    async function* frames(): AsyncGenerator<UploadFrame, void> {
      yield header(taskId);
      await deleteImage(database(), defaultCaller, { imageId, etag: '' }, () => {});
      await world().reaper.reap();
      yield* dataFrames(data);
    }
    const attached = world().uploads.receive(defaultCaller, frames(), connection());
    expect(await failureOf(attached)).toMatchObject({ reason: 'IMAGE_STATE_INVALID' });
  });
});

test('a call that is repeated because its answer was lost is answered as if it were the first', async () => {
  const { imageId, taskId } = await queueImage(database());
  let writerEpoch: number | undefined;
  for (let offset = 0; offset < data.length; offset += 50_000) {
    const end = offset + 50_000;
    for (let times = 0; times < 2; times++) {
      const outcome = await world().uploads.receiveCall(
        defaultCaller,
        {
          taskId,
          writerEpoch,
          frame: chunk(offset, data.subarray(offset, end)),
          finish: end === data.length ? { totalSize: end, sha256: undefined } : undefined,
        },
        'test',
      );
      expect(outcome).toMatchObject({ committedSize: end, complete: end === data.length });
      writerEpoch = outcome.writerEpoch;
    }
  }
  expect(writerEpoch).toBe(1);
  await expectActive(world(), imageId, data);
});

test('the comparing of a long hole ends when its writer is superseded', async () => {
  const store = new FaultyStore();
  const slow = await openUploadWorld(database(), { wrapStore: store.wrap });
  const { taskId } = await queueImage(database());
  const size = 60 * 1024 * 1024;
  // A few bytes stand for a minute of reading.
  store.slow('read', 1000);
  const frames = new PushedFrames(header(taskId), hole(0, size), hole(0, size));
  const upload = slow.uploads.receive(defaultCaller, frames, connection());
  upload.catch(() => {});
  await committed(database(), taskId, size);
  await slow.uploads.resume(defaultCaller, taskId, 'test');
  expect(await failureOf(upload)).toMatchObject({ reason: 'WRITER_FENCED' });
  store.mend();
});

/** The service may keep the buffers of frames for itself. */
function copyOf(frame: UploadFrame): UploadFrame {
  return frame.kind === 'chunk' ? { ...frame, data: new Uint8Array(frame.data) } : frame;
}
