import type { DarkroomError } from '../../../domain/darkroom-error.ts';
import { copyBytes, takeBuffer } from '../../../runtime/shared-buffers.ts';
import type { ChunkFrame } from '../../../uploads/receiving/upload-frame.ts';
import type { BodySink, RequestBody } from '../../transport/request-body.ts';

/** What chunks are cut from. */
export type FlowingBody = Pick<RequestBody, 'flowInto' | 'resume'>;

/** A page of memory, and a block of most file systems. */
const pageBytes = 4096;
/** The first chunk of a body of unknown length, which may be all of it. */
const firstBytes = 64 * 1024;
/** Bytes that have come are not held back for longer than this, in ms, while nobody writes. */
const longestWaitMs = 200;

/**
 * Cuts a body into chunks for an upload. Each byte is copied once, from where the network put it to where it stays until it
 * is stored and digested. Chunks end at multiples of their size in the image, so that all but the first and the last can be
 * written past the page cache. What came before a body broke is handed on before the error.
 */
export class BodyChunks implements BodySink, AsyncIterator<ChunkFrame> {
  readonly #body: FlowingBody;
  readonly #chunkBytes: number;
  /** Bytes that are to come, where that is known. */
  #left: number;
  readonly #isLengthKnown: boolean;
  /** Of the next chunk in the image. */
  #offset: number;
  #data: Uint8Array | undefined;
  #filled = 0;
  readonly #ready: ChunkFrame[] = [];
  #isPaused = false;
  #waiting: PromiseWithResolvers<IteratorResult<ChunkFrame>> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;
  #failure: DarkroomError | undefined;

  /**
   * @param offset of the body in the image.
   * @param length bytes of the body; undefined where it does not say.
   * @param chunkBytes the largest chunk.
   */
  constructor(body: FlowingBody, offset: number, length: number | undefined, chunkBytes: number) {
    this.#body = body;
    this.#offset = offset;
    this.#isLengthKnown = length !== undefined;
    this.#left = length ?? Infinity;
    this.#chunkBytes = chunkBytes;
    body.flowInto(this);
  }

  /** The next bytes, at the latest when a body has been silent for a moment. One call at a time. @throws DarkroomError as the body. */
  next(): Promise<IteratorResult<ChunkFrame>> {
    const frame = this.#ready.shift();
    if (frame !== undefined) {
      if (this.#isPaused && !this.#isOver) {
        this.#isPaused = false;
        this.#body.resume();
      }
      return Promise.resolve({ done: false, value: frame });
    }
    if (this.#failure !== undefined) {
      return Promise.reject(this.#failure);
    }
    if (this.#isOver) {
      return Promise.resolve({ done: true, value: undefined });
    }
    this.#waiting = Promise.withResolvers();
    this.#handOnSoon();
    return this.#waiting.promise;
  }

  take(bytes: Uint8Array): boolean {
    for (let used = 0; used < bytes.byteLength;) {
      const data = (this.#data ??= this.#newBuffer());
      const end = Math.min(bytes.byteLength, used + data.byteLength - this.#filled);
      copyBytes(bytes, used, end, data, this.#filled);
      this.#filled += end - used;
      this.#left -= end - used;
      used = end;
      if (this.#filled === data.byteLength) {
        this.#handOn();
      }
    }
    this.#handOnSoon();
    this.#isPaused = this.#ready.length > 0;
    return !this.#isPaused;
  }

  end(failure: DarkroomError | undefined): void {
    clearTimeout(this.#timer);
    if (this.#filled > 0) {
      this.#handOn();
    }
    this.#isOver = true;
    this.#failure = failure;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (failure === undefined) {
      waiting?.resolve({ done: true, value: undefined });
    } else {
      waiting?.reject(failure);
    }
  }

  #newBuffer(): Uint8Array {
    const toBoundary = this.#chunkBytes - (this.#offset % this.#chunkBytes);
    const expected = this.#isLengthKnown || this.#offset > 0 ? this.#left : firstBytes;
    const lead = (pageBytes - (this.#offset % pageBytes)) % pageBytes;
    // More than was announced cannot come, but a buffer must not be empty.
    return takeBuffer(Math.max(1, Math.min(toBoundary, expected)), lead);
  }

  #handOn(): void {
    const data = this.#data?.subarray(0, this.#filled) ?? new Uint8Array();
    const frame: ChunkFrame = { kind: 'chunk', offset: this.#offset, data, crc32c: undefined };
    this.#offset += this.#filled;
    this.#data = undefined;
    this.#filled = 0;
    if (this.#waiting === undefined) {
      this.#ready.push(frame);
    } else {
      this.#waiting.resolve({ done: false, value: frame });
      this.#waiting = undefined;
    }
  }

  /** What a slow sender has sent is stored though it fills no chunk. */
  #handOnSoon(): void {
    if (this.#timer !== undefined || this.#waiting === undefined || this.#filled === 0) {
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#waiting !== undefined && this.#filled > 0) {
        this.#handOn();
      }
    }, longestWaitMs);
    this.#timer.unref();
  }
}
