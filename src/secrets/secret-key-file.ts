import { randomBytes } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { WatchedFile } from '../runtime/watched-file.ts';
import { keyBytes, SecretKeys } from './secret-keys.ts';

const keyPattern = /^[0-9a-f]{64}$/i;

/** Thrown for a file of keys that cannot be used; its message says what to do. */
export class SecretKeyFileError extends Error {
  override readonly name = 'SecretKeyFileError';
}

/** Where the keys are, and who is told of them. */
export interface SecretKeyFileOptions {
  /** DARKROOM_SECRETS_KEY_FILE, if it is set: it must be there. */
  readonly file: string | undefined;
  readonly dataDir: string;
  /** Called when other keys have come. */
  readonly onChange: () => void;
  /** Told, once, what is wrong with a change; the keys of before stay. */
  readonly onBroken: (message: string) => void;
}

/**
 * The keys by which secrets are sealed, from a file that is read again whenever it changes: one a line, 64 hexadecimal
 * digits; empty lines and what follows a # are left out. Without a file there is one in the data folder, which is made where
 * there is none; of several processes that make it at once, one does.
 */
export class SecretKeyFile {
  readonly keys: SecretKeys;
  readonly #file: WatchedFile<readonly Buffer[]>;

  /** @throws SecretKeyFileError */
  static async open(options: SecretKeyFileOptions): Promise<SecretKeyFile> {
    const path = options.file ?? join(options.dataDir, 'secrets.key');
    try {
      if (options.file === undefined) {
        await makeKey(path);
      }
      return new SecretKeyFile(path, options);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new SecretKeyFileError(
        `the keys of stored secrets cannot be read: ${why}. Let the service read the file, or make it by: ` +
          'openssl rand -hex 32 > FILE',
        { cause: error },
      );
    }
  }

  private constructor(path: string, { onChange, onBroken }: SecretKeyFileOptions) {
    this.#file = new WatchedFile({
      path,
      parse,
      onChange: (keys) => {
        this.keys.exchange(keys);
        onChange();
      },
      onBroken,
    });
    this.keys = new SecretKeys(this.#file.value, () => this.#file.look());
  }

  close(): void {
    this.#file.close();
  }
}

/** @throws Error that says what is wrong. */
function parse(content: string): readonly Buffer[] {
  const lines = content
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
  if (lines.length === 0 || !lines.every((line) => keyPattern.test(line))) {
    throw new Error('it must have one key a line, each of 64 hexadecimal digits');
  }
  return lines.map((line) => Buffer.from(line, 'hex'));
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
