import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseStrictJson } from '../../../src/server/rest/strict-json.ts';

test.each([
  ['{"a":1,"a":2}', 'body has the key "a" twice in one object; send it once'],
  ['{"a":1,"\\u0061":2}', 'body has the key "a" twice in one object; send it once'],
  ['[{"b":{"c":"\\"","c":[]}}]', 'body has the key "c" twice in one object; send it once'],
  [`${'['.repeat(17)}${']'.repeat(17)}`, 'body must not be nested more than 16 levels deep'],
  ['['.repeat(1_000_000), 'body must be JSON, and cannot be read as that'],
  ['{"a":1', 'body must be JSON, and cannot be read as that'],
  ["{'a':1}", 'body must be JSON, and cannot be read as that'],
  ['NaN', 'body must be JSON, and cannot be read as that'],
])('%.30s is refused', (text, message) => {
  expect(() => parseStrictJson(text)).toThrow(message);
});

test.each([
  ['{"a":{"a":["a","a"]},"b":"a"}', { a: { a: ['a', 'a'] }, b: 'a' }],
  ['[{"a":1},{"a":2}]', [{ a: 1 }, { a: 2 }]],
  ['{"a":"\\\\","b":"{\\"a\\":1,"}', { a: '\\', b: '{"a":1,' }],
])('%s is read', (text, value) => {
  expect(parseStrictJson(text)).toEqual(value);
});

test('what JSON.stringify writes is read as it is', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 8 }), (text) => {
      expect(parseStrictJson(text)).toEqual(JSON.parse(text));
    }),
  );
});
