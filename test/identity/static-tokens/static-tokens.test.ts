import { appendFile, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { StaticTokenProvider } from '../../../src/identity/static-tokens/static-token-provider.ts';
import {
  createToken,
  listTokens,
  revokeToken,
  type NewToken,
} from '../../../src/identity/static-tokens/token-store.ts';
import { WatchedFileError } from '../../../src/runtime/watched-file.ts';
import { makeDataDir } from '../../support/service-process.ts';

const member: NewToken = {
  user: 'ann',
  project: 'garden',
  roles: ['member'],
  description: undefined,
  lifetimeMs: undefined,
};

let file: string;
let warnings: string[];

beforeEach(async () => {
  const folder = await makeDataDir();
  file = join(folder.path, 'tokens.json');
  warnings = [];
  return folder.remove;
});

/** In one step: half of it would be told of, too. */
async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.next`, text);
  await rename(`${path}.next`, path);
}

function open(): StaticTokenProvider {
  const provider = new StaticTokenProvider(file, (message) => warnings.push(message));
  onTestFinished(() => provider.close());
  return provider;
}

function reasonOf(provider: StaticTokenProvider, token: string): string {
  try {
    provider.identify(token);
    return 'known';
  } catch (error) {
    return (error as { reason: string }).reason;
  }
}

test('a token is known by what the file says of it, which is not the token', async () => {
  const { token, record } = createToken(file, member);
  expect(open().identify(token)).toMatchObject({
    userId: 'ann',
    projectId: 'garden',
    roles: ['member'],
    expiresAtMs: Number.POSITIVE_INFINITY,
    isRevoked: false,
  });
  expect(token).toMatch(new RegExp(`^dkr_${record.id}_[\\w-]{43}$`));
  const kept = await readFile(file, 'utf8');
  expect(kept).not.toContain(token.slice(-43));
  expect((await stat(file)).mode & 0o777).toBe(0o600);
});

test('what resembles a token is not one', () => {
  const { token } = createToken(file, member);
  const provider = open();
  const last = token.endsWith('A') ? 'B' : 'A';
  for (const wrong of [
    `${token.slice(0, -1)}${last}`,
    token.slice(0, -1),
    `${token}A`,
    token.replace(/_[0-9a-f]{12}_/, '_0123456789ab_'),
    'dkr_',
    'dkr___',
  ]) {
    expect(reasonOf(provider, wrong), wrong).toBe('CREDENTIAL_INVALID');
  }
  expect(reasonOf(provider, token)).toBe('known');
});

test('a token whose time is over is told from one that there never was', () => {
  const { token } = createToken(file, { ...member, lifetimeMs: -1 });
  expect(reasonOf(open(), token)).toBe('CREDENTIAL_EXPIRED');
});

test('what is created and revoked shows within a second, and others do not notice', async () => {
  const { token: old, record } = createToken(file, member);
  const { token: other } = createToken(file, member);
  const provider = open();
  const identity = provider.identify(old);
  const otherIdentity = provider.identify(other);
  const { token: young } = createToken(file, { ...member, user: 'bob' });
  await expect.poll(() => reasonOf(provider, young)).toBe('known');

  expect(revokeToken(file, record.id)).toEqual(record);
  await expect.poll(() => identity.isRevoked).toBe(true);
  expect(reasonOf(provider, old)).toBe('CREDENTIAL_INVALID');
  expect(provider.identify(other)).toBe(otherIdentity);
  expect(otherIdentity.isRevoked).toBe(false);
  expect(warnings).toEqual([]);
});

test('whose role is changed has to be known anew', async () => {
  const { token } = createToken(file, member);
  const provider = open();
  const before = provider.identify(token);
  await writeFile(file, (await readFile(file, 'utf8')).replace('"member"', '"reader"'));
  await expect.poll(() => before.isRevoked).toBe(true);
  expect(provider.identify(token).roles).toEqual(['reader']);
});

test.each([
  ['is half a file', (path: string) => appendFile(path, '{')],
  ['is gone', (path: string) => rm(path)],
  [
    'is a folder',
    async (path: string) => {
      await rename(path, `${path}.old`);
      const { mkdir } = await import('node:fs/promises');
      await mkdir(path);
    },
  ],
  [
    'has a field that is unheard of',
    async (path: string) =>
      replaceFile(path, (await readFile(path, 'utf8')).replace('"user"', '"usr"')),
  ],
  [
    'has a token twice',
    async (path: string) => {
      const { tokens } = JSON.parse(await readFile(path, 'utf8')) as { tokens: unknown[] };
      await replaceFile(path, JSON.stringify({ version: 1, tokens: [...tokens, ...tokens] }));
    },
  ],
])('a file that %s keeps what was there before, and is told of once', async (_, spoil) => {
  const { token } = createToken(file, member);
  const provider = open();
  const identity = provider.identify(token);
  await spoil(file);
  await expect.poll(() => warnings).toHaveLength(1);
  expect(warnings[0]).toContain(`${file} cannot be used: `);
  expect(warnings[0]).not.toContain(token);
  expect(provider.identify(token)).toBe(identity);
  expect(identity.isRevoked).toBe(false);

  await rm(file, { recursive: true, force: true });
  const { token: next } = createToken(file, member);
  await expect.poll(() => reasonOf(provider, next)).toBe('known');
  expect(reasonOf(provider, token)).toBe('CREDENTIAL_INVALID');
});

test('a file that is not there, or is none, ends the start', async () => {
  expect(open).toThrow(WatchedFileError);
  await writeFile(file, '[]');
  expect(open).toThrow(/tokens\.json cannot be used: it is wrong: /);
  await writeFile(file, '{"version":1,"tokens":[{}]}');
  expect(open).toThrow(/tokens\.json cannot be used: tokens\.0\.id is wrong: /);
  await writeFile(file, '{"version":1,"tok');
  expect(open).toThrow(/tokens\.json cannot be used: it is not whole, or no JSON$/);
});

test('revoking what is not there says so, and changes nothing', async () => {
  const { record } = createToken(file, member);
  const before = await stat(file);
  expect(revokeToken(file, '0123456789ab')).toBeUndefined();
  expect((await stat(file)).ino).toBe(before.ino);
  expect(listTokens(file)).toEqual([record]);
});

test('nothing is left beside the file but its lock', async () => {
  createToken(file, member);
  createToken(file, member);
  expect((await readdir(join(file, '..'))).toSorted()).toEqual(['tokens.json', 'tokens.json.lock']);
});
