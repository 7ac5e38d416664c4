import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

/** A Content-Range, in bytes. */
export interface ContentRange {
  readonly start: number;
  /** Inclusive, as it is written. */
  readonly last: number;
  /** Of the whole; undefined if it is not told. */
  readonly size: number | undefined;
}

/** Reads a Content-Range (RFC 9110, section 14.4); undefined where it is none of bytes that are there. */
export function readContentRange(text: string | undefined): ContentRange | undefined {
  const [, first, end, total] =
    /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/.exec(text ?? '') ?? [];
  const [start, last] = [Number(first), Number(end)];
  const size = total === '*' ? undefined : Number(total);
  const isSound = start <= last && (size === undefined || last < size);
  return isSound && Number.isSafeInteger(last) ? { start, last, size } : undefined;
}

/** How many bytes an answer says that the whole has; undefined if it does not. */
export function wholeSizeOf({ headers, statusCode }: IncomingMessage): number | undefined {
  if (statusCode === 206) {
    return readContentRange(headers['content-range'])?.size;
  }
  const length = headers['content-length'];
  const size = length !== undefined && /^\d{1,16}$/.test(length) ? Number(length) : Number.NaN;
  return Number.isSafeInteger(size) ? size : undefined;
}

/** A Last-Modified is a strong validator if it was that long ago (RFC 9110, section 8.8.2.2, in its older form). */
const settledMs = 60_000;

/** What If-Range can be given for the version of an answer; undefined where nothing tells versions apart surely. */
export function validatorOf(headers: IncomingHttpHeaders): string | undefined {
  const { etag, date, 'last-modified': modified } = headers;
  if (etag !== undefined && /^"[\x21\x23-\x7e]{0,512}"$/.test(etag)) {
    return etag;
  }
  const age = Date.parse(date ?? '') - Date.parse(modified ?? '');
  return age >= settledMs ? modified : undefined;
}
