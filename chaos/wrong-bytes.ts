import { crc32c } from '@node-rs/crc32';
import type { Mood } from './mood.ts';
import type { Upload } from './upload.ts';

/** A chunk that the service must not take. */
export interface WrongChunk {
  readonly offset: bigint;
  readonly data: Buffer;
  readonly crc32c?: number;
}

/** A chunk that the service must refuse, and the reason that it must give. */
export interface Misdeed {
  readonly chunk: WrongChunk;
  readonly reason: string;
}

/**
 * What a misbehaving client sends next; undefined where the mood is another, or there is nothing to do it with.
 *
 * @param position where the next byte belongs; before the image's end.
 */
export function misdeed(kind: Mood['kind'], upload: Upload, position: number): Misdeed | undefined {
  switch (kind) {
    case 'garble':
      return { chunk: garbledChunk(upload, position), reason: 'CHUNK_CHECKSUM_MISMATCH' };
    case 'skip':
      return position + 1 < upload.size
        ? { chunk: skippingChunk(upload, position), reason: 'OFFSET_MISMATCH' }
        : undefined;
    case 'lie':
      return position > 0
        ? { chunk: lyingChunk(upload, position), reason: 'REPLAY_MISMATCH' }
        : undefined;
    default:
      return undefined;
  }
}

/** The bytes at `position` altered on the way: their checksum is that of the right ones. */
function garbledChunk({ plan: { content } }: Upload, position: number): WrongChunk {
  const right = content.bytes.subarray(position, position + 10_000);
  return { offset: BigInt(position), data: inverted(right), crc32c: crc32c(right) };
}

/** Right bytes, but not the next ones. */
function skippingChunk({ plan: { content } }: Upload, position: number): WrongChunk {
  const offset = position + 1;
  return { offset: BigInt(offset), data: content.bytes.subarray(offset, offset + 10_000) };
}

/** Other bytes for the last ones before `position`, which must not be 0. */
function lyingChunk({ plan: { content } }: Upload, position: number): WrongChunk {
  const offset = Math.max(0, position - 5000);
  const data = Buffer.from(content.bytes.subarray(offset, position));
  data.writeUInt8((data.at(-1) ?? 0) ^ 0xff, data.length - 1);
  return { offset: BigInt(offset), data };
}

/** Wrong bytes for the next ones, without anything that tells: only the fence can keep them out. */
export function poisonousChunk({ plan: { content } }: Upload, position: number): WrongChunk {
  return {
    offset: BigInt(position),
    data: inverted(content.bytes.subarray(position, position + 50_000)),
  };
}

function inverted(bytes: Buffer): Buffer {
  return Buffer.from(bytes.map((byte) => byte ^ 0xff));
}
