import type { ImportOrder } from '../records/import-order.ts';
import type { WriterLease } from '../uploads/lease/writer-lease.ts';
import { RangeUnusable, type Rest } from './answer-place.ts';
import type { OpenedSource } from './opened-source.ts';
import { PartAllowance } from './part-allowance.ts';
import { cutShort, protocolInvalid, sourceChanged } from './source-failure.ts';

/**
 * How far an import is, and what its source has said so far: where it goes on, and when it is whole.
 *
 * The end of a body is not the end of the image: it is whole only with as many bytes as its source ever
 * said that this version has; and where nobody said it, with the end of a body that began at its first byte.
 */
export class ImportCourse {
  /** What the creator of the task stated. */
  readonly #statedSize: number | null;
  readonly #isDigestStated: boolean;
  readonly #allowance = new PartAllowance();
  #position: number;
  #toldSize: number | null;
  #validator: string | null;
  /** Why no range is asked for any more; completes "since …". */
  #detour: string | undefined;
  #isInParts = false;

  constructor(order: ImportOrder, lease: WriterLease) {
    const { committedSize, expectedSize, expectedSha256, expectedSha512 } = lease;
    this.#statedSize = expectedSize;
    this.#isDigestStated = (expectedSha256 ?? expectedSha512) !== null;
    this.#position = committedSize;
    this.#toldSize = order.sourceSize ?? null;
    this.#validator = order.validator ?? null;
  }

  /** Bytes from the image's start that have been taken. */
  get position(): number {
    return this.#position;
  }

  /** The most bytes that the source ever said that its version has; null if it never said it. */
  get toldSize(): number | null {
    return this.#toldSize;
  }

  /** Of the version that all bytes up to the position are of; null where that is not known. */
  get validator(): string | null {
    return this.#validator;
  }

  /** Bytes that the whole must have; undefined if nobody has said it. */
  get size(): number | undefined {
    return this.#statedSize ?? this.#toldSize ?? undefined;
  }

  /** Whether there is something by which the whole is known: its size or its digest. */
  get isWholeKnown(): boolean {
    return this.size !== undefined || this.#isDigestStated;
  }

  /** Whether all bytes of one version are there, without asking its source. */
  get isWhole(): boolean {
    return this.#position > 0 && this.#validator !== null && this.size === this.#position;
  }

  /** Whether nothing has come, and nobody stated that nothing is the image. */
  get isUnexpectedlyEmpty(): boolean {
    return this.#position === 0 && this.#statedSize !== 0 && !this.#isDigestStated;
  }

  /** What to ask for; undefined for the whole. */
  get rest(): Rest | undefined {
    const isUsable = this.#position > 0 && this.#validator !== null && this.#detour === undefined;
    return isUsable && this.#validator !== null
      ? { from: this.#position, validator: this.#validator, size: this.size }
      : undefined;
  }

  /** Says where the source is read now, and why. For people. */
  roadOf({ name, start, end }: OpenedSource): string {
    if (this.#position === 0) {
      return `Fetching ${name}`;
    }
    if (end !== undefined || start === this.#position) {
      const how = this.#isInParts ? ', which sends it in parts' : '';
      return `Going on at byte ${this.#position} of ${name}${how}`;
    }
    const why =
      this.#detour ??
      (this.#validator === null
        ? 'it does not tell its versions apart'
        : 'it cannot go on in the middle, or has another version');
    return (
      `Reading ${name} again from its beginning, since ${why}; the first ${this.#position} bytes ` +
      'are compared'
    );
  }

  /** Says where the whole came from, and why some of it was read twice if that was for ranges. For people. */
  endOf(name: string): string {
    return this.#detour === undefined
      ? `Fetched from ${name}`
      : `Fetched from ${name}, read again from its beginning since ${this.#detour}`;
  }

  /**
   * Takes note of what a source says before its first byte.
   *
   * @throws DarkroomError SOURCE_CHANGED if it has another size than it had.
   */
  meet(source: OpenedSource): void {
    const { name, size } = source;
    const validator = this.#validator;
    if (this.#position === 0) {
      // Nothing is there of the other version that it had.
      if (validator !== null && source.isOfOtherVersion(validator)) {
        this.#toldSize = null;
      }
      this.#validator = source.validator ?? null;
    }
    if (size !== undefined && this.#toldSize !== null && size !== this.#toldSize) {
      throw sourceChanged(`${name} said that it has ${this.#toldSize} bytes, and has ${size} now.`);
    }
    this.#toldSize = size ?? this.#toldSize;
  }

  /** Says that all up to `position` was taken. */
  reach(position: number): void {
    this.#position = Math.max(this.#position, position);
  }

  /**
   * Says that a source brought all bytes again that were there, and they were the same: where it is read
   * from its beginning they are of its version now, which may be another one. A range is of the version
   * that was asked for.
   */
  catchUp(source: OpenedSource): void {
    if (source.end === undefined) {
      this.#validator = source.validator ?? null;
    }
  }

  /** Asks for no range any more. @throws DarkroomError SOURCE_PROTOCOL_INVALID if none was asked for. */
  giveUpRanges({ message, toldSize }: RangeUnusable): void {
    if (this.#detour !== undefined) {
      throw protocolInvalid(`The source was asked for the whole image: ${message}.`);
    }
    this.#detour = message;
    if (toldSize !== undefined && this.#statedSize === null && !this.#isDigestStated) {
      this.#toldSize = Math.max(this.#toldSize ?? 0, toldSize);
    }
  }

  /**
   * Says that a body has ended, as one does that brought all it announced.
   *
   * @param before bytes that were there before it.
   * @param end where in the image it ended.
   * @returns whether the image is whole; there is more to ask for if not.
   * @throws RangeUnusable if it makes no sense to ask for more.
   * @throws DarkroomError SOURCE_CUT_SHORT, SOURCE_CHANGED, SOURCE_PROTOCOL_INVALID.
   */
  conclude(source: OpenedSource, before: number, end: number): boolean {
    if (source.end === undefined) {
      this.#assertEnd(source.name, before, end);
      return true;
    }
    if (this.size === this.#position) {
      return true;
    }
    if (this.rest === undefined) {
      throw protocolInvalid(
        `${source.name} was asked for the whole image, and sent only the bytes before ${end}.`,
      );
    }
    if (this.#position === before) {
      throw new RangeUnusable(`it sent none of the bytes from ${before}`);
    }
    if (!this.#allowance.admitsAfter(this.#position - before)) {
      throw new RangeUnusable('it sends only a few bytes at a time');
    }
    this.#isInParts = true;
    return false;
  }

  /** Of a body that goes to the image's end. */
  #assertEnd(name: string, before: number, end: number): void {
    const { size } = this;
    if (size !== undefined && end < size) {
      throw cutShort(
        `${name} ended after ${end} bytes as if that were all, and ${size} are the whole.`,
      );
    }
    if (end < before) {
      throw sourceChanged(
        `${name} ended at byte ${end}, and ${before} of it had been read before.`,
      );
    }
    if (size !== undefined && end > size) {
      throw sourceChanged(`${name} said that it has ${size} bytes, and sent ${end}.`);
    }
  }
}
