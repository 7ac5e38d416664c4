import { expect, test } from 'vitest';
import { withoutSecrets } from '../../src/imports/source-secrets.ts';

const order = {
  url: 'https://example.com/image?user=ann&signature=a%2Fb%2Bc-s3cret&v=1&image=disk',
  headers: { authorization: 'Bearer t0p-"s3cret"' },
};

test.each([
  ['the query', 'at /image?user=ann&signature=a%2Fb%2Bc-s3cret&v=1&image=disk', 'at /image?…'],
  ['a value', 'the signature a%2Fb%2Bc-s3cret is wrong', 'the signature … is wrong'],
  ['a value, decoded', '<p>a/b+c-s3cret</p>', '<p>…</p>'],
  ['a value, encoded again', 'next=a%252Fb%252Bc-s3cret', 'next=…'],
  ['a header', 'you sent Bearer t0p-"s3cret"', 'you sent …'],
  ['a part of a header', 'no such token: t0p-"s3cret"', 'no such token: …'],
  ['a header in JSON', String.raw`{"token":"t0p-\"s3cret\""}`, '{"token":"…"}'],
  [
    'a query in HTML',
    'href="?user=ann&amp;signature=a%2Fb%2Bc-s3cret&amp;v=1&amp;image=disk"',
    'href="?…"',
  ],
  ['a value that is cut off', 'it begins with "<p>a/b+c-s3…"', 'it begins with "<p>…"'],
  ['what is no secret', 'v=1 of the image, see https://example.com…', undefined],
])('%s is left out', (_, text, expected) => {
  expect(withoutSecrets(text, order)).toBe(expected ?? text);
});

test('an order without any keeps a text as it is', () => {
  expect(withoutSecrets('a text', { url: 'http://a/', headers: {} })).toBe('a text');
  expect(withoutSecrets('a text', { url: null, headers: {} })).toBe('a text');
});
