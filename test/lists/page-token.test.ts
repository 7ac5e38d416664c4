import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fingerprint } from '../../src/domain/fingerprint.ts';
import {
  decodePageToken,
  encodePageToken,
  type PageKey,
  type PageKeyKind,
} from '../../src/lists/page-token.ts';

const query = fingerprint({ list: 'images', projectId: 'a' });
const invalid = expect.objectContaining({ reason: 'PAGE_TOKEN_INVALID' });

test('what goes into a token comes out of it', () => {
  const text = fc.string({ unit: 'binary', maxLength: 255 }).filter((s) => !s.includes('\0'));
  fc.assert(
    fc.property(fc.nat(), text, fc.maxSafeInteger(), fc.uuid(), (time, name, size, id) => {
      const keys = [time, name, size, id];
      const token = encodePageToken(query, keys);
      expect(token).toMatch(/^[\w-]+$/);
      expect(decodePageToken(token, query, ['time', 'text', 'integer', 'uuid'])).toEqual(keys);
    }),
    { numRuns: 30 },
  );
});

test('the token of another query is refused, and says so', () => {
  const token = encodePageToken(query, ['x']);
  expect(() => decodePageToken(token, fingerprint('another'), ['text'])).toThrow(
    /another filter or order.*leave page_token empty/,
  );
});

test('a token whose bits were altered is refused or at least fit for the database', () => {
  const bytes = Buffer.from(encodePageToken(query, [1000, 'abc']), 'base64url');
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const altered = Buffer.from(bytes);
    altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    try {
      const [time, text] = decodePageToken(altered.toString('base64url'), query, ['time', 'text']);
      expect(Number.isSafeInteger(time)).toBe(true);
      expect(String(text)).not.toContain('\0');
    } catch (error) {
      expect(error).toEqual(invalid);
    }
  }
});

test('any text is refused without another error', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(() => decodePageToken(text, query, ['time', 'uuid'])).toThrow(invalid);
    }),
  );
});

const uuid = '0198c2f4-7d1e-7cc3-98c4-dc0c0c07398f';

test.each<[string, PageKey[], PageKeyKind[]]>([
  ['a time beyond year 9999', [253_402_300_800_000, uuid], ['time', 'uuid']],
  ['a time before 1970', [-1, uuid], ['time', 'uuid']],
  ['a time with a fraction', [0.5, uuid], ['time', 'uuid']],
  ['a number beyond 2^53', [2 ** 53, uuid], ['integer', 'uuid']],
  ['text in place of a number', ['1', uuid], ['integer', 'uuid']],
  ['an id that is no UUID', [1, "x' or true --"], ['integer', 'uuid']],
  ['a NUL', ['a\0b', uuid], ['text', 'uuid']],
  ['half a surrogate pair', ['\ud800', uuid], ['text', 'uuid']],
  ['too few keys', [uuid], ['text', 'uuid']],
  ['too many keys', ['a', uuid, uuid], ['text', 'uuid']],
])('a forged token with %s is refused', (_, keys, kinds) => {
  expect(() => decodePageToken(encodePageToken(query, keys), query, kinds)).toThrow(invalid);
});

test('an endless token is refused', () => {
  expect(() => decodePageToken('A'.repeat(10_000_000), query, ['text'])).toThrow(invalid);
});
