import { CompressionError } from './compression-error.ts';

/**
 * Cuts a zstd stream where its frames end (RFC 8878, 3.1): of a chunk in which a frame ends Node's decoder
 * drops what follows, without a word.
 *
 * @throws CompressionError where something else than a frame follows.
 */
export async function* cutAtFrames(
  input: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const walk = new FrameWalk();
  for await (const chunk of input) {
    for (let start = 0; start < chunk.byteLength;) {
      const end = start + walk.take(chunk.subarray(start));
      yield chunk.subarray(start, end);
      start = end;
    }
  }
}

/** What comes next in a stream. */
interface Piece {
  /** Bytes that it has. */
  readonly length: number;
  /** Whether the walk must see them. */
  readonly isHeader: boolean;
  readonly endsFrame: boolean;
}

/** Follows a stream from frame to frame while it comes. */
class FrameWalk {
  readonly #pieces = pieces();
  #piece: Piece = this.#next(Buffer.alloc(0));
  #missing = this.#piece.length;
  #header = Buffer.alloc(0);

  /** Takes bytes up to the end of the frame, or all of them; answers how many it took. */
  take(bytes: Uint8Array): number {
    for (let taken = 0; ;) {
      const fresh = bytes.subarray(taken, taken + this.#missing);
      taken += fresh.byteLength;
      this.#missing -= fresh.byteLength;
      if (this.#piece.isHeader) {
        this.#header = Buffer.concat([this.#header, fresh]);
      }
      if (this.#missing > 0) {
        return taken;
      }
      const { endsFrame } = this.#piece;
      this.#piece = this.#next(this.#header);
      this.#missing = this.#piece.length;
      this.#header = Buffer.alloc(0);
      if (endsFrame) {
        return taken;
      }
    }
  }

  #next(header: Buffer): Piece {
    return this.#pieces.next(header).value;
  }
}

const frameMagic = 0xfd2f_b528;
/** One of 16 for frames that hold nothing of the content. */
const skippableMagic = 0x184d_2a50;

/** The pieces of a stream without end; is given the bytes of those that are headers. */
function* pieces(): Generator<Piece, never, Buffer> {
  for (;;) {
    const magic = (yield header(4)).readUInt32LE();
    if (magic === frameMagic) {
      yield* piecesOfFrame();
    } else if ((magic & 0xffff_fff0) === skippableMagic) {
      yield rest((yield header(4)).readUInt32LE(), true);
    } else {
      throw new CompressionError('damaged');
    }
  }
}

/** Sizes of optional fields, by the two bits that say them. */
const dictionaryIdBytes = [0, 1, 2, 4];
const contentSizeBytes = [0, 2, 4, 8];

function* piecesOfFrame(): Generator<Piece, void, Buffer> {
  const descriptor = (yield header(1)).readUInt8();
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  const sizeBytes = sizeFlag === 0 && isSingleSegment ? 1 : (contentSizeBytes[sizeFlag] ?? 0);
  const windowBytes = isSingleSegment ? 0 : 1;
  yield rest(windowBytes + (dictionaryIdBytes[descriptor & 3] ?? 0) + sizeBytes, false);
  const hasChecksum = (descriptor & 0x04) !== 0;
  for (;;) {
    const block = (yield header(3)).readUIntLE(0, 3);
    const isLast = (block & 1) === 1;
    const type = (block >> 1) & 3;
    if (type === blockTypes.reserved) {
      throw new CompressionError('damaged');
    }
    yield rest(type === blockTypes.repeated ? 1 : block >> 3, isLast && !hasChecksum);
    if (isLast) {
      break;
    }
  }
  if (hasChecksum) {
    yield rest(4, true);
  }
}

const blockTypes = { repeated: 1, reserved: 3 };

function header(length: number): Piece {
  return { length, isHeader: true, endsFrame: false };
}

function rest(length: number, endsFrame: boolean): Piece {
  return { length, isHeader: false, endsFrame };
}
