import { copyBytes, takeBuffer } from '../runtime/shared-buffers.ts';

/** The unit in which bytes are stored: large, for every write and every digest step has its price. */
const unitBytes = 1024 * 1024;
/** Bytes of a slow source are handed on after so long at the latest, in ms. */
const longestHoldMs = 500;

/**
 * Gathers what comes from a network in pieces of any size into large ones. The next is gathered while the
 * last one is being taken.
 */
export class ByteGatherer {
  readonly #take: (offset: number, data: Uint8Array) => Promise<void>;
  #offset: number;
  #data: Uint8Array = new Uint8Array(0);
  #filled = 0;
  #timer: NodeJS.Timeout | undefined;
  /** All that was handed on; rejects with the first error. */
  #taking: Promise<void> = Promise.resolve();

  /**
   * @param offset where the first byte lies in the image.
   * @param take takes pieces, one after the other.
   */
  constructor(offset: number, take: (offset: number, data: Uint8Array) => Promise<void>) {
    this.#offset = offset;
    this.#take = take;
  }

  /** Where the next byte lies in the image. */
  get position(): number {
    return this.#offset + this.#filled;
  }

  /** Adds bytes. @throws what `take` throws. */
  async add(chunk: Uint8Array): Promise<void> {
    for (let used = 0; used < chunk.byteLength;) {
      if (this.#filled === 0) {
        // Of its own: the digest gives it back.
        this.#data = takeBuffer(unitBytes);
        this.#timer = setTimeout(() => this.#handOn(), longestHoldMs);
      }
      const end = Math.min(chunk.byteLength, used + unitBytes - this.#filled);
      copyBytes(chunk, used, end, this.#data, this.#filled);
      this.#filled += end - used;
      used = end;
      if (this.#filled === unitBytes) {
        const earlier = this.#taking;
        this.#handOn();
        await earlier;
      }
    }
  }

  /** Hands on what there is, and resolves when it was taken. @throws what `take` throws. */
  async flush(): Promise<void> {
    this.#handOn();
    await this.#taking;
  }

  #handOn(): void {
    clearTimeout(this.#timer);
    if (this.#filled === 0) {
      return;
    }
    const [offset, data] = [this.#offset, this.#data.subarray(0, this.#filled)];
    this.#offset += this.#filled;
    this.#filled = 0;
    this.#taking = this.#taking.then(() => this.#take(offset, data));
    // It is thrown where it is awaited.
    this.#taking.catch(() => {});
  }
}
