import { crc32c } from '@node-rs/crc32';
import { DarkroomError, invalidField } from '../../domain/darkroom-error.ts';
import type { FinishClaim } from '../publishing/finish-claim.ts';

/** Bytes of an image. `data` belongs to the receiver, which may move its buffer, or give it back (`giveBack`). */
export interface ChunkFrame {
  readonly kind: 'chunk';
  /** Bytes from the image's start. */
  readonly offset: number;
  readonly data: Uint8Array;
  readonly crc32c: number | undefined;
}

/** Zeros that did not travel. */
export interface HoleFrame {
  readonly kind: 'hole';
  /** Bytes from the image's start. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** Says which upload a stream belongs to. */
export interface UploadHeader {
  readonly kind: 'header';
  readonly taskId: string;
  /** The epoch that ResumeUpload answered with; undefined to take the upload only if nobody else has it. */
  readonly writerEpoch: number | undefined;
}

/** One frame of an upload. */
export type UploadFrame =
  | UploadHeader
  | ChunkFrame
  | HoleFrame
  | ({ readonly kind: 'finish' } & FinishClaim)
  | { readonly kind: 'empty' };

/**
 * Checks a chunk or a hole by itself, before it touches anything.
 *
 * @param path the frame's path in the request, for field violations.
 * @throws DarkroomError FIELD_INVALID, CHUNK_TOO_LARGE, CHUNK_CHECKSUM_MISMATCH.
 */
export function assertSound(
  frame: ChunkFrame | HoleFrame,
  maxChunkBytes: number,
  path: { readonly offset: string; readonly data: string; readonly length: string },
): void {
  if (!isByteCount(frame.offset)) {
    throw invalidField(path.offset, 'must be 0 or more bytes, below 2^53');
  }
  if (frame.kind === 'hole') {
    if (!isByteCount(frame.length) || frame.length === 0) {
      throw invalidField(path.length, 'must be 1 or more bytes, below 2^53');
    }
    return;
  }
  const { data } = frame;
  if (data.byteLength === 0) {
    throw invalidField(path.data, 'must not be empty');
  }
  if (data.byteLength > maxChunkBytes) {
    throw new DarkroomError(
      'CHUNK_TOO_LARGE',
      `The chunk has ${data.byteLength} bytes, and ${maxChunkBytes} are the most that is taken. Send smaller chunks.`,
      { metadata: { max_chunk_bytes: String(maxChunkBytes) } },
    );
  }
  if (frame.crc32c !== undefined) {
    const actual = crc32c(data);
    if (actual !== frame.crc32c) {
      throw new DarkroomError(
        'CHUNK_CHECKSUM_MISMATCH',
        `The chunk at ${frame.offset} has the crc32c ${hex(actual)}, not ${hex(frame.crc32c)} as it says: it was ` +
          'altered on the way and was dropped. Send it again.',
        { metadata: { offset: String(frame.offset) } },
      );
    }
  }
}

function isByteCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function hex(crc: number): string {
  return `0x${crc.toString(16).padStart(8, '0')}`;
}

/** The error for a frame where the protocol does not allow it. */
export function frameOrder(found: string, expected: string): DarkroomError {
  return new DarkroomError(
    'FRAME_ORDER',
    `${found}, where ${expected} was expected: an upload is one header, then chunks and holes, then one finish.`,
  );
}
