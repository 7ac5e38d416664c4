import { DarkroomError } from '../calls/client-error.ts';
import type { Arithmetic } from '../calls/platform.ts';
import type { SourcePart } from './upload-source.ts';

/** A piece of an image as it travels: bytes that fit a chunk, or zeros that need not travel. */
export type ImagePiece =
  | { readonly offset: number; readonly data: Uint8Array; readonly length: number }
  | { readonly offset: number; readonly data?: undefined; readonly length: number };

/** Zeros are left out where so many of them fill a block that begins at a multiple of this. */
export const holeBlockBytes = 64 * 1024;

/** Zeros that were read travel as a hole at the latest when there are so many: the service must hear something. */
const longestHoleBytes = 64 * 1024 * 1024;

/**
 * The pieces of an image, in order and without gaps: parts are gathered up to `chunkBytes`, cut to it, and what is all
 * zeros becomes holes. Bytes are copied only where parts are smaller than a chunk.
 *
 * @param start where the first part begins, in bytes from the image's start
 * @param chunkBytes a multiple of `holeBlockBytes`
 */
export async function* imagePieces(
  parts: AsyncIterable<SourcePart>,
  start: number,
  chunkBytes: number,
  arithmetic: Pick<Arithmetic, 'allZeros'>,
): AsyncGenerator<ImagePiece, void, undefined> {
  let gathered: Uint8Array | undefined;
  let filled = 0;
  let hole = 0;
  let offset = start;

  /** Tells of zeros before what comes next. */
  function* holeBefore(): Generator<ImagePiece> {
    if (hole > 0) {
      yield { offset: offset - hole, length: hole };
      hole = 0;
    }
  }

  /** Pieces of bytes that begin at `offset`. */
  function* piecesOf(bytes: Uint8Array): Generator<ImagePiece> {
    let from = 0;
    for (let at = 0; at < bytes.length;) {
      // Blocks lie at multiples of their size in the image, so that a resumed upload finds the same ones.
      const block = Math.min(
        bytes.length - at,
        holeBlockBytes - ((offset + at - from) % holeBlockBytes),
      );
      if (block === holeBlockBytes && arithmetic.allZeros(bytes.subarray(at, at + block))) {
        if (at > from) {
          yield* holeBefore();
          yield { offset, data: bytes.subarray(from, at), length: at - from };
          offset += at - from;
        }
        hole += block;
        offset += block;
        from = at + block;
        if (hole >= longestHoleBytes) {
          yield* holeBefore();
        }
      }
      at += block;
    }
    if (bytes.length > from) {
      yield* holeBefore();
      yield { offset, data: bytes.subarray(from), length: bytes.length - from };
      offset += bytes.length - from;
    }
  }

  for await (const part of parts) {
    if (!(part instanceof Uint8Array)) {
      const length = requireHole(part);
      if (filled > 0 && gathered !== undefined) {
        yield* piecesOf(gathered.subarray(0, filled));
        gathered = undefined;
        filled = 0;
      }
      hole += length;
      offset += length;
      continue;
    }
    for (let at = 0; at < part.length;) {
      // A chunk ends at a multiple of its size in the image.
      const room = chunkBytes - ((offset + filled) % chunkBytes);
      const taken = Math.min(room, part.length - at);
      if (filled === 0 && taken === room) {
        yield* piecesOf(part.subarray(at, at + taken));
      } else {
        gathered ??= new Uint8Array(chunkBytes);
        gathered.set(part.subarray(at, at + taken), filled);
        filled += taken;
        if (taken === room) {
          yield* piecesOf(gathered.subarray(0, filled));
          gathered = undefined;
          filled = 0;
        }
      }
      at += taken;
    }
  }
  if (filled > 0 && gathered !== undefined) {
    yield* piecesOf(gathered.subarray(0, filled));
  }
  yield* holeBefore();
}

function requireHole(part: unknown): number {
  const hole: unknown =
    typeof part === 'object' && part !== null && 'hole' in part ? part.hole : undefined;
  if (typeof hole !== 'number' || !Number.isSafeInteger(hole) || hole < 0) {
    throw new DarkroomError(
      'SOURCE_UNREADABLE',
      'A source gives Uint8Arrays, or holes with a whole number of bytes.',
    );
  }
  return hole;
}

/** What lies from `from` on of a piece that begins before it. */
export function pieceFrom(piece: ImagePiece, from: number): ImagePiece {
  const skipped = from - piece.offset;
  const length = piece.length - skipped;
  return piece.data === undefined
    ? { offset: from, length }
    : { offset: from, length, data: piece.data.subarray(skipped) };
}
