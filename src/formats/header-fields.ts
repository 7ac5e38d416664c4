import { beyondReason } from './inspection.ts';

/** Reads a header's fields by their offsets in one byte order. The offsets are those of the format's specification. */
export class HeaderFields {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #isLittle: boolean;
  readonly #format: string;

  /** @param format as qemu-img calls it, for the command in a refusal. */
  constructor(bytes: Uint8Array, byteOrder: 'little' | 'big', format: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#isLittle = byteOrder === 'little';
    this.#format = format;
  }

  u8(offset: number): number {
    return this.#view.getUint8(offset);
  }

  u16(offset: number): number {
    return this.#view.getUint16(offset, this.#isLittle);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, this.#isLittle);
  }

  u64(offset: number): bigint {
    return this.#view.getBigUint64(offset, this.#isLittle);
  }

  /**
   * A size or an offset of 64 bits in bytes; refuses the image if it is not below 2^53.
   *
   * @param name of the field, for the refusal.
   * @param unit bytes that one of the field's units has, such as 512 for sectors.
   */
  bytes64(offset: number, name: string, unit = 1): number {
    const value = this.u64(offset) * BigInt(unit);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw beyondReason(name, this.#format);
    }
    return Number(value);
  }

  /** Text of one byte a character. */
  text(offset: number, length: number): string {
    return Buffer.from(this.slice(offset, length)).toString('latin1');
  }

  /** Bytes in lower-case hex. */
  hex(offset: number, length: number): string {
    return Buffer.from(this.slice(offset, length)).toString('hex');
  }

  slice(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(offset, offset + length);
  }

  /** Whether all the bytes are zeros, as in an identifier that is not set. */
  isZero(offset: number, length: number): boolean {
    return this.slice(offset, length).every((byte) => byte === 0);
  }
}

/** Whether a number of up to 32 bits is a power of two. */
export function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}
