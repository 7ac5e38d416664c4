import { DarkroomError } from '../../domain/darkroom-error.ts';
import { inspectFileEnd } from '../../formats/file-end.ts';
import {
  inspectImage,
  type ByteSource,
  type DeclaredFormat,
  type Refused,
  type StatedDigest,
} from '../../formats/inspect-image.ts';
import { checkStatedDigests } from '../../formats/stated-digests.ts';

/** What an upload was found to be. */
export interface FormatFinding {
  /** Bytes of the disk that a machine sees; undefined where the format does not say it. */
  readonly virtualSize: number | undefined;
  /** FORMAT_MISMATCH or FORMAT_UNSAFE, where that is only recorded. */
  readonly refusal: DarkroomError | undefined;
}

/**
 * Looks, while bytes come, whether they are what they were said to be: a wrong image is noticed with its
 * first bytes and not with its last. It reads what is stored, so that a look after a resume sees all.
 */
export class FormatCheck {
  readonly #declared: DeclaredFormat;
  readonly #read: ByteSource['read'];
  readonly #refuses: boolean;
  /** Bytes with which the next look makes sense. */
  #needs = 1;
  #finding: FormatFinding | undefined;
  /** What the image states of its parts. */
  #digests: readonly StatedDigest[] = [];
  #isLooking = false;
  #checkedBytes = 0;

  /**
   * @param read reads bytes that have come.
   * @param refuses whether what is wrong is an error, or only noted in the finding.
   */
  constructor(declared: DeclaredFormat, read: ByteSource['read'], refuses: boolean) {
    this.#declared = declared;
    this.#read = read;
    this.#refuses = refuses;
  }

  /** How many bytes were read again for digests that the image states of its parts: a sign of life. */
  get checkedBytes(): number {
    return this.#checkedBytes;
  }

  /** Whether `look` has anything to see with so many bytes, and none is under way. */
  isDue(available: number): boolean {
    return !this.#finding && !this.#isLooking && available >= this.#needs;
  }

  /** Looks at the bytes that have come. @throws DarkroomError FORMAT_MISMATCH, FORMAT_UNSAFE; a storage error. */
  async look(available: number): Promise<void> {
    this.#isLooking = true;
    try {
      await this.#inspect(available, false);
    } finally {
      this.#isLooking = false;
    }
  }

  /** Looks at the whole, and reads all of what the image states digests of. @throws as `look`. */
  async conclude(size: number): Promise<FormatFinding> {
    if (size === 0 && this.#declared.standsForVolumes === true) {
      return { virtualSize: undefined, refusal: undefined };
    }
    await this.#inspect(size, true);
    if (this.#finding && !this.#finding.refusal) {
      const refused = (await this.#checkEnd(size)) ?? (await this.#checkDigests());
      this.#finding = refused ? this.#refuse(refused) : this.#finding;
    }
    if (!this.#finding) {
      throw new DarkroomError('INTERNAL', 'The inspection of the whole image came to no end.');
    }
    return this.#finding;
  }

  async #inspect(available: number, isWhole: boolean): Promise<void> {
    if (this.#finding) {
      return;
    }
    const source = { available, isWhole, read: this.#read };
    const inspection = await inspectImage(this.#declared, source);
    switch (inspection.kind) {
      case 'undecided':
        this.#needs = inspection.needs;
        break;
      case 'sound':
        this.#finding = { virtualSize: inspection.virtualSize, refusal: undefined };
        this.#digests = inspection.digests ?? [];
        break;
      case 'refused':
        this.#finding = this.#refuse(inspection);
    }
  }

  #checkEnd(size: number): Promise<Refused | undefined> {
    return inspectFileEnd(this.#declared, { available: size, isWhole: true, read: this.#read });
  }

  async #checkDigests(): Promise<Refused | undefined> {
    const digests = this.#digests;
    return digests.length === 0
      ? undefined
      : checkStatedDigests(this.#declared, digests, this.#read, (bytes) => {
          this.#checkedBytes += bytes;
        });
  }

  #refuse({ reason, message, found }: Refused): FormatFinding {
    const refusal = new DarkroomError(reason, message, { metadata: { found } });
    if (this.#refuses) {
      throw refusal;
    }
    return { virtualSize: undefined, refusal };
  }
}
