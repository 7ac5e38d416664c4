import { DarkroomError } from '../../domain/darkroom-error.ts';
import { inspectFileEnd } from '../../formats/file-end.ts';
import {
  inspectImage,
  type ByteSource,
  type DeclaredFormat,
  type Refused,
} from '../../formats/inspect-image.ts';

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
  #isLooking = false;

  /**
   * @param read reads bytes that have come.
   * @param refuses whether what is wrong is an error, or only noted in the finding.
   */
  constructor(declared: DeclaredFormat, read: ByteSource['read'], refuses: boolean) {
    this.#declared = declared;
    this.#read = read;
    this.#refuses = refuses;
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

  /** Looks at the whole. @throws as `look`. */
  async conclude(size: number): Promise<FormatFinding> {
    await this.#inspect(size, true);
    if (this.#finding && !this.#finding.refusal) {
      const source = { available: size, isWhole: true, read: this.#read };
      const refused = await inspectFileEnd(this.#declared, source);
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
        break;
      case 'refused':
        this.#finding = this.#refuse(inspection);
    }
  }

  #refuse({ reason, message, found }: Refused): FormatFinding {
    const refusal = new DarkroomError(reason, message, { metadata: { found } });
    if (this.#refuses) {
      throw refusal;
    }
    return { virtualSize: undefined, refusal };
  }
}
