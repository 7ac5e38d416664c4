import type { MessageInitShape } from '@bufbuild/protobuf';
import type { UploadChunkRequestSchema } from '../../../gen/darkroom/v1/image_service_pb.ts';
import type { Failure } from '../../support/failures.ts';
import { invalid, type Case } from './case.ts';

const MiB = 1024 * 1024;

type WrongChunk = readonly [
  name: string,
  chunk: MessageInitShape<typeof UploadChunkRequestSchema>,
  expected: Partial<Failure>,
];

const wrongChunks: WrongChunk[] = [
  ['nothing in it', {}, invalid('data')],
  ['data and a hole', { data: Buffer.of(1), holeLength: 1n }, invalid('hole_length')],
  ['an offset below zero', { data: Buffer.of(1), offset: -1n }, invalid('offset')],
  ['a hole of no bytes', { holeLength: 0n }, invalid('hole_length')],
  ['an epoch that is none', { data: Buffer.of(1), writerEpoch: 0n }, invalid('writer_epoch')],
  ['a finish below zero', { finish: { totalSize: -1n } }, invalid('finish.total_size')],
  ['a finish with a wrong digest', { finish: { sha256: 'zz' } }, invalid('finish.sha256')],
  [
    'a chunk over the limit',
    { data: Buffer.alloc(4 * MiB + 1) },
    { code: 'ResourceExhausted', reason: 'CHUNK_TOO_LARGE' },
  ],
  [
    'a message far over the limit',
    { data: Buffer.alloc(8 * MiB) },
    { code: 'ResourceExhausted', reason: 'CHUNK_TOO_LARGE' },
  ],
  [
    'a gap before it',
    { data: Buffer.of(1), offset: 7n },
    { code: 'Aborted', reason: 'OFFSET_MISMATCH' },
  ],
  [
    'a checksum of other bytes',
    { data: Buffer.of(1), crc32c: 1 },
    { code: 'DataLoss', reason: 'CHUNK_CHECKSUM_MISMATCH' },
  ],
  [
    'an epoch that was never given',
    { data: Buffer.of(1), writerEpoch: 99n },
    { code: 'Aborted', reason: 'WRITER_FENCED' },
  ],
];

/** What can be wrong with a call of UploadChunk. */
export const chunkCases: Case[] = wrongChunks.map(([name, chunk, expected]) => [
  `UploadChunk with ${name}`,
  ({ images }, { queued }) => images.uploadChunk({ taskId: queued.taskId, ...chunk }),
  expected,
]);
