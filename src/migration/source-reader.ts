import { SourceDiffersError } from './api-failure.ts';
import type { SourceDigests } from './source-digests.ts';

/**
 * Reads an image's bytes from Glance to their end. All but the last one are handed on as they come; that one is held back
 * until it is known that all of them are right.
 */
export class SourceReader {
  readonly #chunks: AsyncIterable<Buffer>;
  readonly #size: number;
  readonly #digests: SourceDigests | undefined;
  readonly #start: number;
  /** The image's last byte; empty where it was not asked for. */
  held: Uint8Array = new Uint8Array();

  /**
   * @param start where in the image the stream begins.
   * @param size of the image, in bytes.
   * @param digests of the whole; only for a stream that begins with the first byte.
   */
  constructor(
    stream: AsyncIterable<Buffer>,
    start: number,
    size: number,
    digests: SourceDigests | undefined,
  ) {
    this.#chunks = stream;
    this.#start = start;
    this.#size = size;
    this.#digests = digests;
  }

  /**
   * The bytes from an offset on, but for the image's last one. When they end the stream has, too.
   *
   * @throws SourceDiffersError where the stream has another length than the image; an Error with a code where it breaks.
   */
  async *bytesFrom(from: number): AsyncGenerator<Uint8Array, void> {
    const last = this.#size - 1;
    let end = this.#start;
    for await (const chunk of this.#chunks) {
      const begin = end;
      end += chunk.length;
      if (end > this.#size) {
        throw this.#differs(`at least ${end}`);
      }
      this.#digests?.update(chunk);
      const [first, until] = [Math.max(from, begin), Math.min(last, end)];
      if (first < until) {
        yield chunk.subarray(first - begin, until - begin);
      }
      if (end > last && from <= last) {
        this.held = Uint8Array.from(chunk.subarray(-1));
      }
    }
    if (end !== this.#size) {
      throw this.#differs(String(end));
    }
  }

  #differs(count: string): SourceDiffersError {
    return new SourceDiffersError(
      `Glance says that the image has ${this.#size} bytes, and has sent ${count}`,
    );
  }
}
