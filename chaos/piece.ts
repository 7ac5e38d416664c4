import { crc32c } from '@node-rs/crc32';
import type { ImageContent } from './image-content.ts';
import type { Random } from './random.ts';

const KiB = 1024;

/** Bytes or zeros that travel in one frame or call. */
export interface Piece {
  readonly offset: number;
  readonly end: number;
  /** Zeros that do not travel. */
  readonly isHole: boolean;
  readonly crc32c: number | undefined;
}

/**
 * Draws what is sent next: of any size, now and then with a part that was sent before, as a hole where
 * zeros are, with or without a checksum.
 *
 * @param position where the next new byte belongs; before the limit.
 * @param limit where the piece ends at the latest, in bytes from the image's start.
 */
export function drawPiece(
  content: ImageContent,
  position: number,
  limit: number,
  random: Random,
): Piece {
  const back =
    position > 0 && random.chance(0.1) ? random.int(1, Math.min(position, 300 * KiB)) : 0;
  const offset = position - back;
  const zeros = Math.min(content.zerosFrom(offset), limit - offset);
  if (zeros > 0 && random.chance(0.6)) {
    const length = random.chance(0.6) ? zeros : random.int(1, zeros);
    return { offset, end: offset + length, isHole: true, crc32c: undefined };
  }
  const wanted = random.weighted([
    [1, random.int(1, 4 * KiB)],
    [4, random.int(4 * KiB, 128 * KiB)],
    [2, 64 * KiB],
    [1, random.int(128 * KiB, 1024 * KiB)],
  ]);
  const end = Math.min(limit, offset + wanted);
  const data = content.bytes.subarray(offset, end);
  return { offset, end, isHole: false, crc32c: random.chance(0.4) ? crc32c(data) : undefined };
}

/** About how many pieces an image is sent in, to pace them. */
export function expectedPieces(bytes: number): number {
  return Math.max(1, bytes / (120 * KiB));
}
