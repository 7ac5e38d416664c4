import { randomBytes } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { keyBytes, SecretKeys } from './secret-keys.ts';

const keyPattern = /^[0-9a-f]{64}$/i;

/** Thrown for a file of keys that cannot be used; its message says what to do. */
export class SecretKeyFileError extends Error {
  override readonly name = 'SecretKeyFileError';
}

/**
 * Reads the keys by which secrets are sealed: one a line, 64 hexadecimal digits; empty lines and what follows a # are left
 * out. Without a file there is one in the data folder, which is made where there is none; of several processes that make it
 * at once, one does.
 *
 * @param file DARKROOM_SECRETS_KEY_FILE, if it is set: it must be there.
 * @throws SecretKeyFileError
 */
export async function readSecretKeys(
  file: string | undefined,
  dataDir: string,
): Promise<SecretKeys> {
  const path = file ?? join(dataDir, 'secrets.key');
  try {
    if (file === undefined) {
      await makeKey(path);
    }
    return parse(path, await readFile(path, 'utf8'));
  } catch (error) {
    if (error instanceof SecretKeyFileError) {
      throw error;
    }
    const { code = 'an unknown error' } = error as NodeJS.ErrnoException;
    throw new SecretKeyFileError(
      `${path}, which has the keys of stored secrets, cannot be used: ${code}. Let the service read it, or make it ` +
        'by: openssl rand -hex 32 > FILE',
      { cause: error },
    );
  }
}

function parse(path: string, content: string): SecretKeys {
  const lines = content
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
  if (lines.length === 0 || !lines.every((line) => keyPattern.test(line))) {
    throw new SecretKeyFileError(
      `${path} must have one key a line, each of 64 hexadecimal digits. Make one by: openssl rand -hex 32`,
    );
  }
  return new SecretKeys(lines.map((line) => Buffer.from(line, 'hex')));
}

async function makeKey(path: string): Promise<void> {
  if (
    await readFile(path).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
    )
  ) {
    return;
  }
  // Whole, or not at all: a key that is lost after something was sealed by it is lost for good.
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.writeFile(`${randomBytes(keyBytes).toString('hex')}\n`);
    await handle.sync();
    await handle.close();
    await link(draft, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') {
        throw error;
      }
    });
  } finally {
    await handle.close().catch(() => {});
    await rm(draft, { force: true });
  }
}
