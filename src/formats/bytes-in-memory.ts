import type { ByteSource } from './byte-source.ts';

/** The first bytes of something, in memory. */
export class BytesInMemory implements ByteSource {
  readonly available: number;
  readonly isWhole: boolean;
  readonly #bytes: Uint8Array;

  /** @param isWhole whether these are all its bytes. */
  constructor(bytes: Uint8Array, isWhole: boolean) {
    this.#bytes = bytes;
    this.available = bytes.byteLength;
    this.isWhole = isWhole;
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return Promise.resolve(this.#bytes.subarray(offset, offset + length));
  }
}
