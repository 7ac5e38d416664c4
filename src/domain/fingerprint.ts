import { createHash } from 'node:crypto';

/** What a fingerprint can be taken of: JSON; what is `undefined` in an object counts as not there. */
export type Fingerprintable =
  | string
  | number
  | boolean
  | null
  | readonly Fingerprintable[]
  | { readonly [key: string]: Fingerprintable | undefined };

/**
 * sha256 in hex of a value's content, the same in every process. The order of an object's keys does
 * not count; that of an array's elements does.
 */
export function fingerprint(value: Fingerprintable): string {
  return createHash('sha256')
    .update(JSON.stringify(ordered(value)))
    .digest('hex');
}

// Objects become lists of pairs, so that no key, such as "__proto__", has a meaning of its own.
function ordered(value: Fingerprintable): unknown {
  if (value === null || typeof value !== 'object') {
    return value;
  }
  if (isList(value)) {
    return ['list', value.map(ordered)];
  }
  const entries = Object.entries(value).flatMap(([key, entry]) =>
    entry === undefined ? [] : [[key, ordered(entry)] as const],
  );
  return ['object', entries.sort(([a], [b]) => (a < b ? -1 : 1))];
}

function isList(value: Fingerprintable): value is readonly Fingerprintable[] {
  return Array.isArray(value);
}
