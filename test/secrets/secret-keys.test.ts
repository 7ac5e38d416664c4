import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { SecretKeys } from '../../src/secrets/secret-keys.ts';

const old = randomBytes(32);
const current = randomBytes(32);

test('what is sealed is opened, and shows nothing of itself', () => {
  const keys = new SecretKeys([current]);
  const sealed = keys.seal('a secret, “ü”', 'place');
  expect(keys.open(sealed, 'place')).toBe('a secret, “ü”');
  expect(sealed).not.toContain('secret');
  expect(keys.seal('a secret, “ü”', 'place')).not.toBe(sealed);
});

test('the first key seals and all of them open', () => {
  const before = new SecretKeys([old]).seal('text', 'place');
  const keys = new SecretKeys([current, old]);
  expect(keys.open(before, 'place')).toBe('text');
  const after = keys.seal('text', 'place');
  expect(after.startsWith(keys.currentPrefix)).toBe(true);
  expect(new SecretKeys([current]).open(after, 'place')).toBe('text');
  expect(() => new SecretKeys([old]).open(after, 'place')).toThrow(/is none of those/);
});

test('what was altered, cut, moved or never sealed is not opened', () => {
  const keys = new SecretKeys([current]);
  const sealed = keys.seal('text', 'place');
  const [version, id, payload = ''] = sealed.split('.');
  const bytes = Buffer.from(payload, 'base64url');
  for (let at = 0; at < bytes.length; at += 1) {
    const altered = Buffer.from(bytes);
    altered[at] = altered[at]! ^ 1;
    const envelope = `${version}.${id}.${altered.toString('base64url')}`;
    expect(() => keys.open(envelope, 'place')).toThrow(/was altered/);
    const cut = `${version}.${id}.${bytes.subarray(0, at).toString('base64url')}`;
    expect(() => keys.open(cut, 'place')).toThrow(/was altered/);
  }
  expect(() => keys.open(sealed, 'another place')).toThrow(/was altered/);
  expect(() => keys.open('text', 'place')).toThrow(/is none of those/);
  expect(() => keys.open('', 'place')).toThrow(/is none of those/);
});
