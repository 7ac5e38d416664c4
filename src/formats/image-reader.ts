import type { ByteSource } from './byte-source.ts';
import { BytesMissing, cutShort, unsafe } from './inspection.ts';

/** Bytes that one inspection reads at most, whatever the image's headers say. */
export const maxInspectedBytes = 4 * 1024 * 1024;

/** Bytes from the start in which almost all formats show themselves. */
export const headBytes = 512;

// Most headers lie in the first page, and the small pieces they are read in then cost one read.
const windowBytes = 4096;

/** Reads an image within bounds. Throws instead of returning fewer bytes than were asked for. */
export class ImageReader {
  readonly #source: ByteSource;
  /** Bytes from the start that can be read; it stays the same for the whole inspection. */
  readonly available: number;
  readonly isWhole: boolean;
  #readBytes = 0;
  #windowStart = 0;
  #window: Uint8Array = new Uint8Array();

  constructor(source: ByteSource) {
    this.#source = source;
    this.isWhole = source.isWhole;
    this.available = source.available;
  }

  /** Reads exactly `length` bytes; throws if they have not come yet, or never will. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const end = offset + length;
    if (end > this.available) {
      throw this.isWhole ? cutShort(this.available, end) : new BytesMissing(end);
    }
    if (offset < this.#windowStart || end > this.#windowStart + this.#window.byteLength) {
      await this.#moveWindow(offset, length);
    }
    const start = offset - this.#windowStart;
    return this.#window.subarray(start, start + length);
  }

  /** The first bytes: {@link headBytes} of them, or fewer if the image has no more. */
  head(): Promise<Uint8Array> {
    return this.read(0, this.endsBefore(headBytes) ? this.available : headBytes);
  }

  /** Whether the image is known to have fewer bytes. */
  endsBefore(end: number): boolean {
    return this.isWhole && this.available < end;
  }

  /** Bytes of the whole image; throws as long as it is not whole. */
  wholeSize(): number {
    if (!this.isWhole) {
      throw new BytesMissing(Number.POSITIVE_INFINITY);
    }
    return this.available;
  }

  async #moveWindow(offset: number, length: number): Promise<void> {
    const wanted = Math.min(Math.max(length, windowBytes), this.available - offset);
    if (this.#readBytes + wanted > maxInspectedBytes) {
      throw unsafe(
        'too much metadata',
        'its headers are larger than any sound image needs. Make it anew from its source',
      );
    }
    this.#readBytes += wanted;
    this.#window = await this.#source.read(offset, wanted);
    this.#windowStart = offset;
  }
}
