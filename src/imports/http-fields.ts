import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

/** A Content-Range, in bytes. */
export interface ContentRange {
  readonly start: number;
  /** Where the range ends: the byte after its last one. */
  readonly end: number;
  /** Of the whole; undefined if it is not told. */
  readonly size: number | undefined;
}

/** Reads a Content-Range (RFC 9110, section 14.4); undefined where it is none of bytes that are there. */
export function readContentRange(text: string | undefined): ContentRange | undefined {
  const [, first, last, total] =
    /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/i.exec(text ?? '') ?? [];
  const [start, end] = [Number(first), Number(last) + 1];
  const size = total === '*' ? undefined : Number(total);
  const isSound = start < end && (size === undefined || end <= size);
  return isSound && Number.isSafeInteger(size ?? end) ? { start, end, size } : undefined;
}

/** How many bytes a source says that it has, when it refuses a range of them; undefined if it does not. */
export function readUnsatisfiedSize(text: string | undefined): number | undefined {
  return readLength(/^bytes \*\/(\d{1,16})$/i.exec(text ?? '')?.[1]);
}

/** The Content-Length of an answer; undefined if it has none. */
export function contentLengthOf({ headers }: IncomingMessage): number | undefined {
  return readLength(headers['content-length']);
}

function readLength(text: string | undefined): number | undefined {
  const length = text !== undefined && /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(length) ? length : undefined;
}

/** A Last-Modified is a strong validator if it was that long ago (RFC 9110, section 8.8.2.2, in its older form). */
const settledMs = 60_000;

/**
 * What If-Range can be given for the version of an answer (RFC 9110, section 13.1.5); undefined where
 * nothing tells versions apart surely. A date stands in for no entity tag, even a weak one.
 */
export function validatorOf(headers: IncomingHttpHeaders): string | undefined {
  const { etag, date, 'last-modified': modified } = headers;
  if (etag !== undefined) {
    return /^"[\x21\x23-\x7e]{0,512}"$/.test(etag) ? etag : undefined;
  }
  const age = Date.parse(date ?? '') - Date.parse(modified ?? '');
  return age >= settledMs ? modified : undefined;
}

/** Whether an answer says that it is of another version than the validator's. */
export function isOfOtherVersion(headers: IncomingHttpHeaders, validator: string): boolean {
  const told = validator.startsWith('"') ? headers.etag : headers['last-modified'];
  return told !== undefined && told !== validator;
}
