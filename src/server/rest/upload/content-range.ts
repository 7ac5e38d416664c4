import { invalidField } from '../../../domain/darkroom-error.ts';
import { quoted } from '../../../domain/quoted.ts';

/** Where the body of a PUT belongs (RFC 9110, section 14.4 and 14.5). */
export interface ContentRange {
  /** Its first byte in the image. */
  readonly first: number;
  /** How many bytes it has. */
  readonly length: number;
  /** Bytes of the whole image; undefined where its sender does not know yet. */
  readonly total: number | undefined;
}

const form = /^bytes[ \t]+(?:(\d{1,16})-(\d{1,16})|\*)\/(\d{1,16}|\*)[ \t]*$/i;

/**
 * Reads `bytes <first>-<last>/<total>`, with `*` for a total that is not known; or with `*` in place of the range, by which
 * nothing is sent but that all has come.
 *
 * @throws DarkroomError FIELD_INVALID
 */
export function contentRange(field: string): ContentRange {
  const [, first, last, whole] = form.exec(field) ?? [];
  if (whole === undefined || (first === undefined && whole === '*')) {
    throw invalidField(
      'content-range',
      `must be bytes <first>-<last>/<total>, with * for a total that is not known, not ${quoted(field)}`,
    );
  }
  const total = whole === '*' ? undefined : Number(whole);
  if (first === undefined || last === undefined) {
    return { first: total ?? 0, length: 0, total };
  }
  const [begin, end] = [Number(first), Number(last)];
  if (end < begin || (total !== undefined && end >= total) || !Number.isSafeInteger(end)) {
    throw invalidField(
      'content-range',
      `must begin before it ends, and end before the total, not ${quoted(field)}`,
    );
  }
  return { first: begin, length: end - begin + 1, total };
}
