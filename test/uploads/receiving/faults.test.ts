import { randomBytes } from 'node:crypto';
import { crc32c } from '@node-rs/crc32';
import { describe, expect, test } from 'vitest';
import { Code } from '../../../gen/google/rpc/code_pb.ts';
import { defaultCaller } from '../../../src/access/caller.ts';
import type { UploadFrame } from '../../../src/uploads/receiving/upload-frame.ts';
import { useDatabase } from '../../support/test-database.ts';
import {
  chunk,
  connection,
  failureOf,
  finish,
  framesOf,
  header,
  hole,
  queueImage,
  readImage,
  readTask,
  retryTask,
  sha256,
  useUploadWorld,
  type UploadWorld,
} from '../../support/upload-world.ts';
import { dataFrames, expectActive, resumeAndFinish } from '../complete-upload.ts';
import { expectFault, type ExpectedFault } from '../expect-fault.ts';

const database = useDatabase();
const theWorld = useUploadWorld(database, {
  limits: { maxChunkBytes: 120_000, maxImageBytes: 1_000_000 },
});
const data = randomBytes(250_000);
/** What each stream sends before something goes wrong. */
const good = () => dataFrames(data, 0, 100_000);

function receive(world: UploadWorld, ...frames: UploadFrame[]): Promise<unknown> {
  return world.uploads.receive(defaultCaller, framesOf(...frames), connection());
}

describe('a fault that is survived keeps the good prefix, and the upload goes on', () => {
  const altered = Buffer.from(data.subarray(100_000, 200_000));
  altered[5] = altered[5]! ^ 1;
  const cases: Record<string, ExpectedFault & { readonly frames: readonly UploadFrame[] }> = {
    'a second header': {
      reason: 'FRAME_ORDER',
      code: Code.INVALID_ARGUMENT,
      frames: [header('x')],
    },
    'an empty frame': {
      reason: 'FRAME_ORDER',
      code: Code.INVALID_ARGUMENT,
      frames: [{ kind: 'empty' }],
    },
    'a chunk after the finish': {
      reason: 'FRAME_ORDER',
      code: Code.INVALID_ARGUMENT,
      frames: [finish(100_000), chunk(100_000, data.subarray(100_000, 100_100))],
    },
    'a second finish': {
      reason: 'FRAME_ORDER',
      code: Code.INVALID_ARGUMENT,
      frames: [finish(100_000), finish(100_000)],
    },
    'a header after the finish': {
      reason: 'FRAME_ORDER',
      code: Code.INVALID_ARGUMENT,
      frames: [finish(100_000), header('x')],
    },
    'a negative offset': {
      reason: 'FIELD_INVALID',
      code: Code.INVALID_ARGUMENT,
      retryable: false,
      frames: [chunk(-1, data.subarray(0, 5))],
    },
    'an offset that is no number': {
      reason: 'FIELD_INVALID',
      code: Code.INVALID_ARGUMENT,
      retryable: false,
      frames: [chunk(Number.NaN, data.subarray(0, 5))],
    },
    'a chunk of nothing': {
      reason: 'FIELD_INVALID',
      code: Code.INVALID_ARGUMENT,
      retryable: false,
      frames: [chunk(100_000, new Uint8Array(0))],
    },
    'a hole of nothing': {
      reason: 'FIELD_INVALID',
      code: Code.INVALID_ARGUMENT,
      retryable: false,
      frames: [hole(100_000, 0)],
    },
    'a hole that is larger than numbers are': {
      reason: 'FIELD_INVALID',
      code: Code.INVALID_ARGUMENT,
      retryable: false,
      frames: [hole(100_000, 2 ** 60)],
    },
    'a finish with a sha256 that is none': {
      reason: 'FIELD_INVALID',
      code: Code.INVALID_ARGUMENT,
      retryable: false,
      frames: [finish(100_000, 'abc')],
    },
    'a finish with a negative size': {
      reason: 'FIELD_INVALID',
      code: Code.INVALID_ARGUMENT,
      retryable: false,
      frames: [finish(-1)],
    },
    'a chunk beyond the next byte': {
      reason: 'OFFSET_MISMATCH',
      code: Code.ABORTED,
      metadata: { expected_offset: '100000', offset: '100001' },
      frames: [chunk(100_001, data.subarray(0, 5))],
    },
    'a hole beyond the next byte': {
      reason: 'OFFSET_MISMATCH',
      code: Code.ABORTED,
      metadata: { expected_offset: '100000', offset: '200000' },
      frames: [hole(200_000, 5)],
    },
    'a chunk over the limit': {
      reason: 'CHUNK_TOO_LARGE',
      code: Code.RESOURCE_EXHAUSTED,
      metadata: { max_chunk_bytes: '120000' },
      frames: [chunk(100_000, data.subarray(100_000, 220_001))],
    },
    'a chunk that was altered on the way': {
      reason: 'CHUNK_CHECKSUM_MISMATCH',
      code: Code.DATA_LOSS,
      metadata: { offset: '100000' },
      frames: [chunk(100_000, altered, crc32c(data.subarray(100_000, 200_000)))],
    },
    'a replay with other bytes': {
      reason: 'REPLAY_MISMATCH',
      code: Code.DATA_LOSS,
      metadata: { offset: '70000' },
      frames: [chunk(70_000, Buffer.from([data[70_000]! ^ 1, 2, 3]))],
    },
    'a replay with other bytes that goes on with new ones': {
      reason: 'REPLAY_MISMATCH',
      code: Code.DATA_LOSS,
      metadata: { offset: '99999' },
      frames: [
        chunk(
          99_990,
          Buffer.concat([data.subarray(99_990, 99_999), Buffer.alloc(9, data[99_999]! ^ 1)]),
        ),
      ],
    },
  };
  test.each(Object.entries(cases))('%s', async (_, { frames, ...expected }) => {
    const world = theWorld();
    const { imageId, taskId } = await queueImage(database());
    const failure = await failureOf(receive(world, header(taskId), ...good(), ...frames));
    await expectFault(database(), taskId, failure, expected);
    expect((await readImage(database(), imageId)).outlook).toBe('EXPECTED');
    await resumeAndFinish(world, taskId, data);
    await expectActive(world, imageId, data);
  });
});

describe('a fault that is fatal fails the task, and a retry brings the image', () => {
  const bad = '0'.repeat(64);
  interface FatalCase extends ExpectedFault {
    readonly stated?: { size?: number; sha256?: string };
    readonly frames: readonly UploadFrame[];
    /** Whether a retry may take over the bytes. */
    readonly takeOver: boolean;
  }
  const cases: Record<string, FatalCase> = {
    'a finish before the size that it says': {
      reason: 'SIZE_SHORT',
      code: Code.OUT_OF_RANGE,
      frames: [finish(100_001)],
      takeOver: true,
    },
    'a finish before the stated size': {
      reason: 'SIZE_SHORT',
      code: Code.OUT_OF_RANGE,
      stated: { size: data.length },
      frames: [finish(100_000)],
      takeOver: true,
    },
    'a finish that says less than came': {
      reason: 'SIZE_EXCEEDED',
      code: Code.OUT_OF_RANGE,
      frames: [finish(99_999)],
      takeOver: false,
    },
    'a chunk beyond the stated size': {
      reason: 'SIZE_EXCEEDED',
      code: Code.OUT_OF_RANGE,
      stated: { size: data.length },
      metadata: { limit: '250000' },
      frames: [hole(100_000, 150_001)],
      takeOver: true,
    },
    'a hole beyond the largest image': {
      reason: 'SIZE_EXCEEDED',
      code: Code.OUT_OF_RANGE,
      metadata: { limit: '1000000' },
      frames: [hole(100_000, 2 ** 50)],
      takeOver: true,
    },
    'a finish with another digest': {
      reason: 'DIGEST_MISMATCH',
      code: Code.DATA_LOSS,
      phase: 'VERIFYING',
      frames: [finish(100_000, bad)],
      takeOver: false,
    },
    'a finish with the right digest after another was stated': {
      reason: 'DIGEST_MISMATCH',
      code: Code.DATA_LOSS,
      phase: 'VERIFYING',
      stated: { sha256: sha256(data) },
      frames: [finish(100_000, sha256(data.subarray(0, 100_000)))],
      takeOver: false,
    },
    'a finish without a digest after another was stated': {
      reason: 'DIGEST_MISMATCH',
      code: Code.DATA_LOSS,
      phase: 'VERIFYING',
      stated: { sha256: sha256(data) },
      frames: [finish(100_000)],
      takeOver: false,
    },
  };
  test.each(Object.entries(cases))('%s', async (_, { frames, takeOver, stated, ...expected }) => {
    const world = theWorld();
    const { imageId, taskId } = await queueImage(database(), stated);
    const failure = await failureOf(receive(world, header(taskId), ...good(), ...frames));
    await expectFault(database(), taskId, failure, { ...expected, fatal: true });
    expect(await readImage(database(), imageId)).toMatchObject({
      state: 'QUEUED',
      outlook: 'NOT_COMING',
    });
    expect(await failureOf(receive(world, header(taskId)))).toMatchObject({
      reason: 'TASK_TERMINAL',
    });
    const next = await retryTask(world, taskId, takeOver);
    expect((await readTask(database(), next)).committedSize).toBe(takeOver ? 100_000 : 0);
    await resumeAndFinish(world, next, data);
    await expectActive(world, imageId, data);
    await world.repair.run();
    await expectActive(world, imageId, data);
  });

  test('a digest that is stated in upper case is the same', async () => {
    const world = theWorld();
    const { imageId, taskId } = await queueImage(database(), { sha256: sha256(data) });
    await receive(
      world,
      header(taskId),
      ...dataFrames(data),
      finish(data.length, sha256(data).toUpperCase()),
    );
    await expectActive(world, imageId, data);
  });
});

test('before there is a task to record it on, a wrong frame is only told', async () => {
  const world = theWorld();
  const { taskId } = await queueImage(database());
  const streams: UploadFrame[][] = [
    [],
    [chunk(0, data.subarray(0, 5)), header(taskId)],
    [hole(0, 5)],
    [finish(0)],
    [{ kind: 'empty' }],
  ];
  for (const frames of streams) {
    expect(await failureOf(receive(world, ...frames))).toMatchObject({ reason: 'FRAME_ORDER' });
  }
  expect(await failureOf(receive(world, header('x')))).toMatchObject({
    reason: 'FIELD_INVALID',
    fieldViolations: [{ field: 'header.task_id' }],
  });
  expect(await readTask(database(), taskId)).toMatchObject({ state: 'PENDING', faultCount: 0 });
});

test('an upload of an unknown task, of another project’s and of an import are refused', async () => {
  const world = theWorld();
  const unknown = 'ffffffff-1234-7123-8123-123456789abc';
  expect(await failureOf(receive(world, header(unknown)))).toMatchObject({
    reason: 'TASK_NOT_FOUND',
  });
  const foreign = await queueImage(database(), { projectId: 'another' });
  expect(await failureOf(receive(world, header(foreign.taskId)))).toMatchObject({
    reason: 'TASK_NOT_FOUND',
  });
  const fetched = await queueImage(database(), { type: 'IMPORT' });
  expect(await failureOf(receive(world, header(fetched.taskId)))).toMatchObject({
    reason: 'TASK_STATE_INVALID',
  });
  expect(
    await failureOf(world.uploads.resume(defaultCaller, fetched.taskId, 'test')),
  ).toMatchObject({ reason: 'TASK_STATE_INVALID' });
});
