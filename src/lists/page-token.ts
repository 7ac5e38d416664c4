import { validate } from 'uuid';
import { DarkroomError } from '../domain/darkroom-error.ts';

/** What a key column holds. Times are ms since 1970. */
export type PageKeyKind = 'time' | 'integer' | 'text' | 'uuid';

/** One key of a row as it travels in a page token. */
export type PageKey = string | number;

/**
 * Makes the token that goes on after a row.
 *
 * @param query fingerprint of all that must stay the same from page to page: whose list, filter, order.
 * @param keys the row's keys, in the order's sequence.
 */
export function encodePageToken(query: string, keys: readonly PageKey[]): string {
  return Buffer.concat([
    Buffer.of(tokenVersion),
    queryMark(query),
    Buffer.from(JSON.stringify(keys)),
  ]).toString('base64url');
}

/**
 * Reads the keys out of a token. Tokens are not signed: a forged one only begins elsewhere in what the
 * query shows its caller anyway. But whatever it holds, the keys that come out are fit for the database.
 *
 * @param kinds what the order's key columns hold.
 * @throws DarkroomError PAGE_TOKEN_INVALID for a token that is garbage, or another query's.
 */
export function decodePageToken(
  token: string,
  query: string,
  kinds: readonly PageKeyKind[],
): readonly PageKey[] {
  const bytes = Buffer.from(token.slice(0, maxTokenLength), 'base64url');
  // Node skips what is not base64url; a token that does not come back the same was altered.
  if (bytes.toString('base64url') !== token || bytes[0] !== tokenVersion) {
    throw invalidToken('is none that this service gave out');
  }
  if (!bytes.subarray(1, 1 + markBytes).equals(queryMark(query))) {
    throw invalidToken('belongs to a list with another filter or order');
  }
  const keys = parseKeys(bytes.subarray(1 + markBytes));
  if (keys.length !== kinds.length || !kinds.every((kind, i) => isKey(keys[i], kind))) {
    throw invalidToken('is none that this service gave out');
  }
  return keys as readonly PageKey[];
}

/** Raised when tokens change their form, so that old ones are refused rather than misread. */
const tokenVersion = 1;
const markBytes = 12;
/** Above the longest token there is: a name of 255 characters of 4 bytes, escaped by JSON. */
const maxTokenLength = 8192;
/** 9999-12-31, the last day that a google.protobuf.Timestamp can hold. */
const maxTime = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

function queryMark(query: string): Buffer {
  return Buffer.from(query, 'hex').subarray(0, markBytes);
}

function parseKeys(bytes: Buffer): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}

function isKey(value: unknown, kind: PageKeyKind): value is PageKey {
  switch (kind) {
    case 'time':
      return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= maxTime;
    case 'integer':
      return Number.isSafeInteger(value);
    case 'text':
      return typeof value === 'string' && value.isWellFormed() && !value.includes('\0');
    case 'uuid':
      return validate(value);
  }
}

function invalidToken(problem: string): DarkroomError {
  const advice =
    'send the next_page_token of the page before with all other fields as they were there, ' +
    'or leave page_token empty to begin with the first page';
  return new DarkroomError('PAGE_TOKEN_INVALID', `page_token ${problem}: ${advice}.`, {
    fieldViolations: [{ field: 'page_token', description: `${problem}; ${advice}` }],
  });
}
