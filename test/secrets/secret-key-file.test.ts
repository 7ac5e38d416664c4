import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { SecretKeyFile, SecretKeyFileError } from '../../src/secrets/secret-key-file.ts';
import type { SecretKeys } from '../../src/secrets/secret-keys.ts';
import { patience } from '../support/held-upload.ts';

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'darkroom-keys-'));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}

/** The keys of a file, or of a data folder, until the test ends. */
async function open(
  file: string | undefined,
  dataDir: string,
  told: { onChange?: () => void; onBroken?: (message: string) => void } = {},
): Promise<SecretKeys> {
  const opened = await SecretKeyFile.open({
    file,
    dataDir,
    onChange: () => {},
    onBroken: () => {},
    ...told,
  });
  onTestFinished(() => opened.close());
  return opened.keys;
}

test('without a file a key is made in the data folder, for its owner alone, once for all who start at once', async () => {
  const dataDir = await folder();
  const all = await Promise.all(Array.from({ length: 20 }, () => open(undefined, dataDir)));
  expect(new Set(all.map(({ currentPrefix }) => currentPrefix)).size).toBe(1);
  expect(await readdir(dataDir)).toEqual(['secrets.key']);
  expect((await stat(join(dataDir, 'secrets.key'))).mode & 0o777).toBe(0o600);
  const again = await open(undefined, dataDir);
  expect(again.open(all[0]!.seal('text', 'x'), 'x')).toBe('text');
});

test('several keys are read, with comments between them', async () => {
  const dataDir = await folder();
  const old = await open(undefined, dataDir);
  const file = join(dataDir, 'keys');
  const first = 'ab'.repeat(32);
  await writeFile(
    file,
    `# of today\n${first}\n\n${await readFile(join(dataDir, 'secrets.key'), 'utf8')}`,
  );
  const keys = await open(file, dataDir);
  expect(keys.open(old.seal('text', 'x'), 'x')).toBe('text');
  expect(keys.currentPrefix).not.toBe(old.currentPrefix);
});

test.each(['', '# nothing\n', 'short\n', `${'ab'.repeat(32)}\n${'ab'.repeat(31)}\n`])(
  'a file with %j is refused, and nothing of it is told',
  async (content) => {
    const dataDir = await folder();
    const file = join(dataDir, 'keys');
    await writeFile(file, content);
    const error: unknown = await open(file, dataDir).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SecretKeyFileError);
    expect(String(error)).toContain('64 hexadecimal digits');
    expect(String(error)).not.toMatch(/abab|short/);
  },
);

test('a file that is set and not there is refused, and none is made', async () => {
  const dataDir = await folder();
  await expect(open(join(dataDir, 'none'), dataDir)).rejects.toThrow(/ENOENT/);
  expect(await readdir(dataDir)).toEqual([]);
});

test('a file that changes is read again, and what is wrong in it leaves the keys as they were', async () => {
  const dataDir = await folder();
  const [first, second] = ['ab'.repeat(32), 'cd'.repeat(32)] as const;
  const file = join(dataDir, 'keys');
  await writeFile(file, first);
  let changes = 0;
  const broken: string[] = [];
  const keys = await open(file, dataDir, {
    onChange: () => (changes += 1),
    onBroken: (message) => broken.push(message),
  });
  const sealed = keys.seal('text', 'x');
  const { currentPrefix } = keys;
  await writeFile(file, `${second}\n${first}\n`);
  await expect.poll(() => changes, patience).toBe(1);
  expect(keys.currentPrefix).not.toBe(currentPrefix);
  expect(keys.open(sealed, 'x')).toBe('text');

  await writeFile(file, 'half a k');
  await expect.poll(() => broken, patience).toHaveLength(1);
  expect(broken[0]).toMatch(/64 hexadecimal digits; what it said before holds on/);
  await rm(file);
  await expect.poll(() => broken, patience).toHaveLength(2);
  expect(keys.open(sealed, 'x')).toBe('text');

  await writeFile(file, second);
  await expect.poll(() => changes, patience).toBe(2);
  expect(() => keys.open(sealed, 'x')).toThrow(/none of those that this process has/);
});

test('a key that is not known is looked for in the file at once', async () => {
  const dataDir = await folder();
  const file = join(dataDir, 'keys');
  await writeFile(file, 'ab'.repeat(32));
  const keys = await open(file, dataDir);
  await writeFile(file, `${'cd'.repeat(32)}\n${'ab'.repeat(32)}\n`);
  const sealed = (await open(file, dataDir)).seal('text', 'x');
  // Ten at once: the look that is under way may have begun too early for some of them.
  await Promise.all(Array.from({ length: 10 }, () => keys.seekKeyOf(sealed)));
  expect(keys.open(sealed, 'x')).toBe('text');
});
