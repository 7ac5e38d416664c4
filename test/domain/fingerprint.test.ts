import { expect, test } from 'vitest';
import { fingerprint } from '../../src/domain/fingerprint.ts';

test('the order of keys and keys without a value do not count', () => {
  expect(fingerprint({ a: 1, b: { c: null, d: 'x' }, e: undefined })).toBe(
    fingerprint({ b: { d: 'x', c: null }, a: 1 }),
  );
});

test.each([
  [
    [1, 2],
    [2, 1],
  ],
  [{ a: '1' }, { a: 1 }],
  [[], {}],
  [{ a: 'b' }, ['object', [['a', 'b']]]],
  [{ a: null }, {}],
  [JSON.parse('{"__proto__":"a"}'), {}],
])('%j and %j differ', (a, b) => {
  expect(fingerprint(a)).not.toBe(fingerprint(b));
});
