import type { MessageInitShape } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import type { UploadImageRequestSchema } from '../../../gen/darkroom/v1/image_service_pb.ts';
import type { Failure } from '../../support/failures.ts';
import { invalid, noSuchId } from './case.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
/** What every image of these tests is to hold. */
export const content = Buffer.alloc(192 * KiB, 'content');
/** How much of it is sent before what is wrong. */
export const goodBytes = 64 * KiB;

/** A frame of an upload. */
export type Frame = MessageInitShape<typeof UploadImageRequestSchema>;

export const header = (taskId: string, writerEpoch?: bigint): Frame => ({
  frame: { case: 'header', value: { taskId, ...(writerEpoch !== undefined && { writerEpoch }) } },
});
export const chunk = (offset: number | bigint, data: Uint8Array, crc32c?: number): Frame => ({
  frame: {
    case: 'chunk',
    value: { offset: BigInt(offset), data, ...(crc32c !== undefined && { crc32c }) },
  },
});
const hole = (offset: number, length: number | bigint): Frame => ({
  frame: { case: 'hole', value: { offset: BigInt(offset), length: BigInt(length) } },
});
const finish = (totalSize: number | bigint, sha256?: string): Frame => ({
  frame: { case: 'finish', value: { totalSize: BigInt(totalSize), ...(sha256 && { sha256 }) } },
});
/** The good beginning. */
export const good = chunk(0, content.subarray(0, goodBytes));

/** A stream with something wrong, what its client must be told, and what becomes of the task. */
export type StreamCase = readonly [
  name: string,
  frames: (taskId: string) => Frame[],
  expected: Partial<Failure>,
  task: 'untouched' | 'goes on' | 'failed',
];

const frameOrder: Partial<Failure> = { code: 'InvalidArgument', reason: 'FRAME_ORDER' };

/** What can be wrong with an upload stream. */
export const streamCases: StreamCase[] = [
  ['nothing at all', () => [], frameOrder, 'untouched'],
  ['a chunk before the header', () => [good], frameOrder, 'untouched'],
  ['a finish before the header', () => [finish(0)], frameOrder, 'untouched'],
  ['an empty frame before the header', () => [{}], frameOrder, 'untouched'],
  ['no task', () => [header('')], invalid('header.task_id'), 'untouched'],
  [
    'a task that there is not',
    () => [header(noSuchId), good],
    { code: 'NotFound', reason: 'TASK_NOT_FOUND' },
    'untouched',
  ],
  ['an epoch of zero', (id) => [header(id, 0n)], invalid('header.writer_epoch'), 'untouched'],
  [
    'an epoch that was never given',
    (id) => [header(id, 7n), good],
    { code: 'Aborted', reason: 'WRITER_FENCED', metadata: { writer_epoch: '0' } },
    'untouched',
  ],
  ['two headers', (id) => [header(id), good, header(id)], frameOrder, 'goes on'],
  ['an empty frame', (id) => [header(id), good, {}], frameOrder, 'goes on'],
  [
    'a chunk after the finish',
    (id) => [header(id), good, finish(goodBytes), chunk(goodBytes, content)],
    frameOrder,
    'goes on',
  ],
  [
    'two finishes',
    (id) => [header(id), good, finish(goodBytes), finish(goodBytes)],
    frameOrder,
    'goes on',
  ],
  [
    'an empty chunk',
    (id) => [header(id), good, chunk(goodBytes, Buffer.of())],
    invalid('chunk.data'),
    'goes on',
  ],
  [
    'an offset below zero',
    (id) => [header(id), good, chunk(-1, content)],
    invalid('chunk.offset'),
    'goes on',
  ],
  [
    'the largest offset',
    (id) => [header(id), good, chunk(2n ** 63n - 1n, content)],
    invalid('chunk.offset'),
    'goes on',
  ],
  [
    'a hole of no bytes',
    (id) => [header(id), good, hole(goodBytes, 0)],
    invalid('hole.length'),
    'goes on',
  ],
  [
    'a hole below zero',
    (id) => [header(id), good, hole(goodBytes, -1)],
    invalid('hole.length'),
    'goes on',
  ],
  [
    'the largest hole',
    (id) => [header(id), good, hole(goodBytes, 2n ** 63n - 1n)],
    invalid('hole.length'),
    'goes on',
  ],
  [
    'a gap',
    (id) => [header(id), good, chunk(goodBytes + 1, content)],
    {
      code: 'Aborted',
      reason: 'OFFSET_MISMATCH',
      metadata: expect.objectContaining({
        expected_offset: String(goodBytes),
        committed_size: String(goodBytes),
      }),
    },
    'goes on',
  ],
  [
    'a chunk over the limit',
    (id) => [header(id), good, chunk(goodBytes, Buffer.alloc(4 * MiB + 1))],
    { code: 'ResourceExhausted', reason: 'CHUNK_TOO_LARGE' },
    'goes on',
  ],
  [
    'a wrong checksum',
    (id) => [header(id), good, chunk(goodBytes, content, 1)],
    { code: 'DataLoss', reason: 'CHUNK_CHECKSUM_MISMATCH' },
    'goes on',
  ],
  [
    'other bytes where some are already',
    (id) => [header(id), good, chunk(goodBytes - 9, Buffer.alloc(99, 'other'))],
    { code: 'DataLoss', reason: 'REPLAY_MISMATCH' },
    'goes on',
  ],
  [
    'a finish below zero',
    (id) => [header(id), good, finish(-1)],
    invalid('finish.total_size'),
    'goes on',
  ],
  [
    'a finish beyond 2^53',
    (id) => [header(id), good, finish(2n ** 60n)],
    invalid('finish.total_size'),
    'goes on',
  ],
  ...['zz', 'a'.repeat(63), `sha256:${'a'.repeat(64)}`].map((sha256): StreamCase => [
    `a finish with the digest ${JSON.stringify(sha256.slice(0, 12))}`,
    (id) => [header(id), good, finish(goodBytes, sha256)],
    invalid('finish.sha256'),
    'goes on',
  ]),
  [
    'a hole beyond the limit',
    (id) => [header(id), good, hole(goodBytes, 2n ** 44n)],
    { code: 'OutOfRange', reason: 'SIZE_EXCEEDED' },
    'failed',
  ],
  [
    'a finish too early',
    (id) => [header(id), good, finish(2 * goodBytes)],
    { code: 'OutOfRange', reason: 'SIZE_SHORT' },
    'failed',
  ],
  [
    'a finish too late',
    (id) => [header(id), good, finish(1)],
    { code: 'OutOfRange', reason: 'SIZE_EXCEEDED' },
    'failed',
  ],
  [
    'the digest of other bytes',
    (id) => [header(id), good, finish(goodBytes, 'AB'.repeat(32))],
    { code: 'DataLoss', reason: 'DIGEST_MISMATCH' },
    'failed',
  ],
];
