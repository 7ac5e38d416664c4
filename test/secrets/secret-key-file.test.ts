import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readSecretKeys, SecretKeyFileError } from '../../src/secrets/secret-key-file.ts';

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'darkroom-keys-'));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}

test('without a file a key is made in the data folder, for its owner alone, once for all who start at once', async () => {
  const dataDir = await folder();
  const all = await Promise.all(
    Array.from({ length: 20 }, () => readSecretKeys(undefined, dataDir)),
  );
  expect(new Set(all.map(({ currentPrefix }) => currentPrefix)).size).toBe(1);
  expect(await readdir(dataDir)).toEqual(['secrets.key']);
  expect((await stat(join(dataDir, 'secrets.key'))).mode & 0o777).toBe(0o600);
  const again = await readSecretKeys(undefined, dataDir);
  expect(again.open(all[0]!.seal('text', 'x'), 'x')).toBe('text');
});

test('several keys are read, with comments between them', async () => {
  const dataDir = await folder();
  const old = await readSecretKeys(undefined, dataDir);
  const file = join(dataDir, 'keys');
  const first = 'ab'.repeat(32);
  await writeFile(
    file,
    `# of today\n${first}\n\n${await readFile(join(dataDir, 'secrets.key'), 'utf8')}`,
  );
  const keys = await readSecretKeys(file, dataDir);
  expect(keys.open(old.seal('text', 'x'), 'x')).toBe('text');
  expect(keys.currentPrefix).not.toBe(old.currentPrefix);
});

test.each(['', '# nothing\n', 'short\n', `${'ab'.repeat(32)}\n${'ab'.repeat(31)}\n`])(
  'a file with %j is refused, and nothing of it is told',
  async (content) => {
    const dataDir = await folder();
    const file = join(dataDir, 'keys');
    await writeFile(file, content);
    const error: unknown = await readSecretKeys(file, dataDir).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SecretKeyFileError);
    expect(String(error)).toContain('64 hexadecimal digits');
    expect(String(error)).not.toMatch(/abab|short/);
  },
);

test('a file that is set and not there is refused, and none is made', async () => {
  const dataDir = await folder();
  await expect(readSecretKeys(join(dataDir, 'none'), dataDir)).rejects.toThrow(/ENOENT/);
  expect(await readdir(dataDir)).toEqual([]);
});
