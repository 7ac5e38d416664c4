import type { ContainerFormat, DiskFormat } from '../records/image.ts';

/** What the image's owner says the bytes are. */
export interface DeclaredFormat {
  readonly diskFormat: DiskFormat;
  readonly containerFormat: ContainerFormat;
  /** Set of a compressed image that is unpacked later: what is wrong with its compression is told then. */
  readonly isUnpackedLater?: boolean;
  /** Whether the image stands for volumes, of which its properties tell, and may have no bytes of its own. */
  readonly standsForVolumes?: boolean;
}

/** A digest that an image states of a part of itself. */
export interface StatedDigest {
  /** The part's name, such as that of a file in an archive. */
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  /** As node:crypto calls it. */
  readonly algorithm: string;
  /** Lower-case hex. */
  readonly digest: string;
}

/** What one look at the bytes told. */
export type Inspection =
  | {
      readonly kind: 'undecided';
      /**
       * Ask again when at least this many bytes are available, or when it is whole. More than there
       * are now; Infinity if only the whole can tell. Never told of a whole image.
       */
      readonly needs: number;
    }
  | {
      readonly kind: 'sound';
      /** Bytes of the disk that a guest sees; undefined where the format does not tell. */
      readonly virtualSize: number | undefined;
      /** What the image states of its parts, and what only reading all of them can tell; none if not set. */
      readonly digests?: readonly StatedDigest[];
    }
  | Refused;

/** The bytes are not what they are declared to be, or unsafe. */
export interface Refused {
  readonly kind: 'refused';
  readonly reason: RefusalReason;
  /** What was declared, what was found and what to do; below 500 characters. */
  readonly message: string;
  /** The format found, such as `qcow2`, or the name of the unsafe feature, such as `backing file`. */
  readonly found: string;
}

/** Why bytes are refused: they are something else, or they can reach outside themselves. */
export type RefusalReason = 'FORMAT_MISMATCH' | 'FORMAT_UNSAFE';

/** Thrown where more bytes must come before anything can be said. */
export class BytesMissing extends Error {
  override readonly name = 'BytesMissing';
  /** Bytes from the start; Infinity for all of them. */
  readonly needs: number;

  constructor(needs: number) {
    super(`${needs} bytes are needed`);
    this.needs = needs;
  }
}

/** Thrown where the bytes are seen to be wrong. Its message is a clause; see {@link mismatch} and {@link unsafe}. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly reason: RefusalReason;
  readonly found: string;

  constructor(reason: RefusalReason, found: string, clause: string) {
    super(clause);
    this.reason = reason;
    this.found = found;
  }
}

/**
 * The bytes are not what they are declared to be.
 *
 * @param clause completes "The image is declared as QCOW2, but …", and says what to do.
 */
export function mismatch(found: string, clause: string): Refusal {
  return new Refusal('FORMAT_MISMATCH', found, clause);
}

/** The bytes end before the header does. */
export function cutShort(size: number, needed: number): Refusal {
  const found = size === 0 ? 'empty file' : 'cut short';
  return mismatch(
    found,
    `it is cut short: it has ${size} bytes and its headers need ${needed}. Upload the whole file, or declare what it is`,
  );
}

/**
 * The bytes are of the format, but could reach outside themselves or exhaust who opens them.
 *
 * @param clause completes "The QCOW2 image is refused, because …", and says how to make it safe.
 */
export function unsafe(feature: string, clause: string): Refusal {
  return new Refusal('FORMAT_UNSAFE', feature, clause);
}

/** A header's field has a value that no sound image needs. */
export function beyondReason(field: string, image: string): Refusal {
  return unsafe(
    `${field} beyond reason`,
    `its ${field} is beyond reason, so that it is damaged or made to harm who opens it. Make it anew from its source: ${convertCommand(image)}`,
  );
}

/** The command that copies an image into a new one without its special features. */
export function convertCommand(format: string): string {
  return `qemu-img convert -O ${format} old.${format} new.${format}`;
}

const maxMessageLength = 499;

/** A refusal with its whole message. */
export function refusedAs(
  { diskFormat, containerFormat }: DeclaredFormat,
  { reason, found, message: clause }: Refusal,
): Refused {
  const declared =
    containerFormat === 'BARE' ? diskFormat : `${diskFormat} in a container ${containerFormat}`;
  const whole =
    reason === 'FORMAT_MISMATCH'
      ? `The image is declared as ${declared}, but ${clause}.`
      : `The ${declared} image is refused, because ${clause}.`;
  const message =
    whole.length > maxMessageLength ? `${whole.slice(0, maxMessageLength - 1)}…` : whole;
  return { kind: 'refused', reason, message, found };
}
