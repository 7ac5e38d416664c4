import { abortable } from '../calls/abortable.ts';
import { DarkroomError } from '../calls/client-error.ts';
import type { Arithmetic, RunningDigest } from '../calls/platform.ts';
import { imagePieces, pieceFrom, type ImagePiece } from './image-pieces.ts';
import type { OpenedSource } from './upload-source.ts';

/** How an image is read. Sizes are in bytes. */
export interface ReadingOptions {
  readonly chunkBytes: number;
  /** The most of a stream that is kept because the service has not acknowledged it. */
  readonly windowBytes: number;
  /** Whether the sha256 of the whole is computed. */
  readonly isDigested: boolean;
}

const zeros = new Uint8Array(64 * 1024);
/** Others have their turn after so many zeros were digested. */
const restBytes = 16 * 1024 * 1024;

/**
 * Reads the pieces of an image from any place that the service may ask for, and digests each byte once. Of a stream, that is
 * what was not acknowledged by `committed`.
 */
export class PieceReader {
  readonly #source: OpenedSource;
  readonly #arithmetic: Arithmetic;
  readonly #options: ReadingOptions;
  readonly #digest: RunningDigest | undefined;
  #digested = 0;
  #sha256: string | undefined;
  /** Where the source has ended, once that was seen. */
  #end: number | undefined;

  // Of streams alone.
  #live: AsyncIterator<ImagePiece> | undefined;
  #pending: Promise<IteratorResult<ImagePiece>> | undefined;
  #window: ImagePiece[] = [];
  #windowBytes = 0;
  #windowStart = 0;
  #liveOffset = 0;
  #blockedSinceMs: number | undefined;
  #wake = (): void => undefined;

  constructor(source: OpenedSource, arithmetic: Arithmetic, options: ReadingOptions) {
    this.#source = source;
    this.#arithmetic = arithmetic;
    this.#options = options;
    this.#digest = options.isDigested ? arithmetic.sha256() : undefined;
  }

  /** The size of the whole in bytes, where it is known before the end. */
  get size(): number | undefined {
    return this.#source.size;
  }

  /** Where the source has ended, once all was read. @throws TypeError before */
  get end(): number {
    if (this.#end === undefined) {
      throw new TypeError('the source has not ended');
    }
    return this.#end;
  }

  get isSeekable(): boolean {
    return this.#source.kind === 'seekable';
  }

  /** Since when a stream is not read on because too much of it waits to be acknowledged, by `performance.now()`. */
  get blockedSinceMs(): number | undefined {
    return this.#blockedSinceMs;
  }

  /** The sha256 of the whole, once all was read; `undefined` if none is wanted. */
  sha256(): string | undefined {
    this.#sha256 ??= this.#digest?.hex();
    return this.#sha256;
  }

  /** How much the service has: that need not be kept. */
  committed(offset: number): void {
    while (this.#window[0] !== undefined && endOf(this.#window[0]) <= offset) {
      const [dropped] = this.#window.splice(0, 1);
      this.#windowBytes -= dropped?.data?.length ?? 0;
    }
    this.#windowStart = Math.max(this.#windowStart, offset);
    this.#wake();
  }

  /** Resolves when a stream gives more, or ends: it may be silent for long. Other sources always do. */
  async ready(signal: AbortSignal): Promise<void> {
    if (this.#source.kind === 'stream') {
      await abortable(this.#peek(), signal);
    }
  }

  /**
   * Digests what lies before `offset`, as the service has it already from somebody else.
   *
   * @param onRead told the place, now and then
   * @throws DarkroomError SOURCE_CHANGED (the source ends before); what the source throws
   */
  async digestUpTo(
    offset: number,
    signal: AbortSignal,
    onRead: (offset: number) => void,
  ): Promise<void> {
    if (this.#source.kind === 'stream' || this.#digest === undefined) {
      return;
    }
    while (this.#digested < offset) {
      const before = this.#digested;
      for await (const piece of this.#seek(before, signal)) {
        await this.#take(endOf(piece) > offset ? cutTo(piece, offset) : piece);
        onRead(this.#digested);
        if (this.#digested >= offset) {
          break;
        }
      }
      if (this.#digested === before) {
        throw tooShort(before, offset);
      }
    }
  }

  /**
   * The pieces from a place on, to the end.
   *
   * @throws DarkroomError SOURCE_NOT_SEEKABLE, SOURCE_CHANGED; what the source throws; the signal's reason
   */
  async *from(offset: number, signal: AbortSignal): AsyncGenerator<ImagePiece, void, undefined> {
    if (this.#end !== undefined && offset > this.#end) {
      throw tooShort(this.#end, offset);
    }
    const pieces =
      this.#source.kind === 'stream' ? this.#replay(offset, signal) : this.#seek(offset, signal);
    let end = offset;
    for await (const piece of pieces) {
      await this.#take(piece);
      end = endOf(piece);
      yield piece;
    }
    this.#ended(end);
  }

  /** Some pieces of what lies before `offset`, by which the service can tell whether the source is the same. */
  async samples(offset: number, signal: AbortSignal): Promise<readonly ImagePiece[]> {
    const samples: ImagePiece[] = [];
    if (!this.isSeekable || offset === 0) {
      return samples;
    }
    for (const at of samplePlaces(offset)) {
      for await (const piece of this.#seek(at, signal)) {
        const most = Math.min(offset, at + sampleBytes);
        samples.push(endOf(piece) > most ? cutTo(piece, most) : piece);
        break;
      }
    }
    return samples;
  }

  /** Nothing more is read. The source is its opener's to close. */
  stop(): void {
    // A stream that is silent cannot be told to stop before it gives something.
    void this.#live?.return?.().catch(() => undefined);
  }

  #seek(offset: number, signal: AbortSignal): AsyncIterable<ImagePiece> {
    if (this.#source.kind === 'stream') {
      throw new TypeError('a stream is not sought');
    }
    const parts = this.#source.open(offset, signal);
    return imagePieces(parts, offset, this.#options.chunkBytes, this.#arithmetic);
  }

  async *#replay(offset: number, signal: AbortSignal): AsyncGenerator<ImagePiece, void, undefined> {
    if (offset < this.#windowStart) {
      throw new DarkroomError(
        'SOURCE_NOT_SEEKABLE',
        `The service asks for byte ${offset}, and the stream is kept from byte ${this.#windowStart} on.`,
      );
    }
    // Nothing before it is asked for again.
    this.committed(offset);
    let at = offset;
    for (;;) {
      const kept = this.#window.find((piece) => endOf(piece) > at);
      if (kept !== undefined) {
        const piece = kept.offset < at ? pieceFrom(kept, at) : kept;
        at = endOf(piece);
        yield piece;
        continue;
      }
      if (at > this.#liveOffset || this.#windowBytes < this.#options.windowBytes) {
        this.#blockedSinceMs = undefined;
        const next = await abortable(this.#peek(), signal);
        this.#pending = undefined;
        if (next.done === true) {
          this.#pending = Promise.resolve(next);
          if (at > this.#liveOffset) {
            throw tooShort(this.#liveOffset, at);
          }
          return;
        }
        await this.#keep(next.value);
      } else {
        this.#blockedSinceMs ??= performance.now();
        const room = new Promise<void>((resolve) => (this.#wake = resolve));
        await abortable(room, signal);
      }
    }
  }

  #peek(): Promise<IteratorResult<ImagePiece>> {
    if (this.#source.kind !== 'stream') {
      throw new TypeError('only a stream is looked ahead in');
    }
    this.#live ??= imagePieces(this.#source.parts, 0, this.#options.chunkBytes, this.#arithmetic);
    this.#pending ??= this.#live.next();
    return this.#pending;
  }

  async #keep(piece: ImagePiece): Promise<void> {
    this.#liveOffset = endOf(piece);
    // Where somebody else has brought it, it is not kept, or not all of it.
    if (this.#liveOffset > this.#windowStart) {
      this.#window.push(piece);
      this.#windowBytes += piece.data?.length ?? 0;
    }
    await this.#take(piece);
  }

  /** Digests what of a piece was not digested yet. */
  async #take(piece: ImagePiece): Promise<void> {
    if (this.#digest === undefined || endOf(piece) <= this.#digested) {
      return;
    }
    const rest = piece.offset < this.#digested ? pieceFrom(piece, this.#digested) : piece;
    if (rest.offset > this.#digested) {
      throw new TypeError(`bytes ${this.#digested} to ${rest.offset} were not digested`);
    }
    if (rest.data !== undefined) {
      this.#digest.update(rest.data);
      this.#digested = endOf(rest);
      return;
    }
    for (let until = this.#digested + restBytes; this.#digested < endOf(rest);) {
      const left = endOf(rest) - this.#digested;
      this.#digest.update(left < zeros.length ? zeros.subarray(0, left) : zeros);
      this.#digested += Math.min(left, zeros.length);
      if (this.#digested >= until) {
        until += restBytes;
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
  }

  #ended(end: number): void {
    const said = this.#source.size;
    if (said !== undefined && said !== end) {
      throw new DarkroomError(
        'SOURCE_CHANGED',
        `The source was to have ${said} bytes, and ended after ${end}.`,
      );
    }
    this.#end = end;
  }
}

const sampleBytes = 64 * 1024;
const sampleCount = 8;

/** The first and the last, and between them at places that nobody foresees. */
function samplePlaces(offset: number): readonly number[] {
  const last = Math.max(0, offset - sampleBytes);
  const between = Array.from({ length: sampleCount - 2 }, () => Math.floor(Math.random() * last));
  return [...new Set([0, ...between, last])].sort((one, other) => one - other);
}

function endOf({ offset, length }: ImagePiece): number {
  return offset + length;
}

function cutTo(piece: ImagePiece, end: number): ImagePiece {
  const length = end - piece.offset;
  return piece.data === undefined
    ? { offset: piece.offset, length }
    : { offset: piece.offset, length, data: piece.data.subarray(0, length) };
}

function tooShort(end: number, offset: number): DarkroomError {
  return new DarkroomError(
    'SOURCE_CHANGED',
    `The source ends after ${end} bytes, and the service has ${offset} of it already.`,
  );
}
