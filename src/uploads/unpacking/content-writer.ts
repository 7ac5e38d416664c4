import { DarkroomError } from '../../domain/darkroom-error.ts';
import { copyBytes, takeBuffer } from '../../runtime/shared-buffers.ts';
import type { Interruption } from '../../domain/interruption.ts';
import type { GrowingBlob } from '../blob/growing-blob.ts';
import type { WriterLease } from '../lease/writer-lease.ts';
import { FormatCheck, type FormatFinding } from '../publishing/format-check.ts';

/** Limits of what is unpacked. Sizes are in bytes. */
export interface ContentLimits {
  readonly maxImageBytes: number;
  readonly maxUnpackedBytes: number;
  /** How many times the size of what came its content may take up, besides some that is always free. */
  readonly maxUnpackedRatio: number;
  /** Made durable whenever so many bytes were written. */
  readonly commitBytes: number;
  /** Whether an image that is not what it was said to be, or unsafe, is refused, or that only recorded. */
  readonly formatCheck: 'refuse' | 'record';
}

/** What was unpacked, whole and durable. */
export interface Content {
  readonly size: number;
  readonly sha256: string;
  readonly format: FormatFinding;
  /** Bytes that take up room in the store. */
  readonly storedBytes: number;
}

/** The unit in which bytes are stored: large, for every write and every digest step has its price. */
const unitBytes = 1024 * 1024;
/** Small images may take up so much whatever they came from. */
const freeBytes = 64 * 1024 * 1024;

/** Takes unpacked bytes as they come out of a decoder: stores and digests them, and looks what they are. */
export class ContentWriter {
  readonly #blob: GrowingBlob;
  readonly #limits: ContentLimits;
  readonly #packedSize: number;
  readonly #interruption: Interruption;
  readonly #format: FormatCheck;
  #unit: Uint8Array = new Uint8Array(0);
  #filled = 0;
  #durable = 0;

  /**
   * @param blob empty.
   * @param lease says what the image was said to be.
   * @param packedSize bytes that came.
   */
  constructor(
    blob: GrowingBlob,
    limits: ContentLimits,
    lease: WriterLease,
    packedSize: number,
    interruption: Interruption,
  ) {
    this.#blob = blob;
    this.#limits = limits;
    this.#packedSize = packedSize;
    this.#interruption = interruption;
    this.#format = new FormatCheck(
      { diskFormat: lease.declared.diskFormat, containerFormat: 'BARE' },
      (offset, length) => blob.read(offset, length),
      limits.formatCheck === 'refuse',
    );
  }

  /** @throws DarkroomError SIZE_EXCEEDED, FORMAT_MISMATCH, FORMAT_UNSAFE, a storage error, the interruption's. */
  async add(data: Uint8Array): Promise<void> {
    for (let used = 0; used < data.byteLength;) {
      if (this.#filled === 0) {
        // Of its own: the digest gives it back.
        this.#unit = takeBuffer(unitBytes);
      }
      const end = Math.min(data.byteLength, used + unitBytes - this.#filled);
      copyBytes(data, used, end, this.#unit, this.#filled);
      this.#filled += end - used;
      used = end;
      if (this.#filled === unitBytes) {
        await this.#store();
      }
    }
  }

  /** Says that this was all; resolves when it is durable and checked. @throws as `add`. */
  async conclude(): Promise<Content> {
    if (this.#filled > 0) {
      await this.#store();
    }
    const size = this.#blob.length;
    const [digests, format] = await Promise.all([
      this.#interruption.race(this.#blob.digests()),
      this.#interruption.race(this.#format.conclude(size)),
      this.#interruption.race(this.#blob.persist()),
    ]);
    const { segmentStoredBytes: storedBytes } = this.#blob.progress;
    return { size, sha256: digests.sha256, format, storedBytes };
  }

  async #store(): Promise<void> {
    const data = this.#unit.subarray(0, this.#filled);
    this.#filled = 0;
    const start = this.#blob.length;
    this.#assertWithin(start + data.byteLength);
    await this.#blob.append(data);
    this.#assertWorthwhile();
    await this.#interruption.race(this.#blob.digest(start, data));
    if (this.#format.isDue(this.#blob.length)) {
      await this.#interruption.race(this.#format.look(this.#blob.length));
    }
    if (this.#blob.length - this.#durable >= this.#limits.commitBytes) {
      this.#durable = this.#blob.length;
      await this.#interruption.race(this.#blob.persist());
    }
  }

  #assertWithin(size: number): void {
    const { maxImageBytes, maxUnpackedBytes } = this.#limits;
    const limit = Math.min(maxImageBytes, maxUnpackedBytes);
    if (size > limit) {
      throw new DarkroomError(
        'SIZE_EXCEEDED',
        `What is inside of the ${this.#packedSize} bytes that came is larger than ${limit} bytes, the most that is unpacked.`,
        { metadata: { limit: String(limit) } },
      );
    }
  }

  #assertWorthwhile(): void {
    const { segmentStoredBytes: stored } = this.#blob.progress;
    const limit = freeBytes + this.#packedSize * this.#limits.maxUnpackedRatio;
    if (stored > limit) {
      throw new DarkroomError(
        'SIZE_EXCEEDED',
        `What is inside of the ${this.#packedSize} bytes that came takes up more than ${limit} bytes, zeros not counted: ` +
          `more than ${this.#limits.maxUnpackedRatio} times as much is not unpacked. Upload it without compression.`,
        { metadata: { limit: String(limit) } },
      );
    }
  }
}
