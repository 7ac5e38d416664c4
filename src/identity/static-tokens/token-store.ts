import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Role } from '../../access/caller.ts';
import { hashOf, newToken } from './token-text.ts';
import { parseTokenFile, tokenFileText, type TokenRecord } from './token-file.ts';

/** For how long one who changes a file waits for others who do, in ms. */
const patienceMs = 30_000;

/** Only who runs the service may read it, and change it. */
const ownersOnly = 0o600;

/** What a new token is for. */
export interface NewToken {
  readonly user: string;
  readonly project: string | undefined;
  readonly roles: readonly Role[];
  readonly description: string | undefined;
  /** For how long it holds, in ms; undefined for ever. */
  readonly lifetimeMs: number | undefined;
}

/**
 * Makes a token, and keeps it in the file, which is made if it is not there.
 *
 * @returns the token, which can be had only here, and its record.
 * @throws what the file system throws; Error where the file is no token file.
 */
export function createToken(
  path: string,
  { user, project, roles, description, lifetimeMs }: NewToken,
): { readonly token: string; readonly record: TokenRecord } {
  const { id, secret, token } = newToken();
  const now = Date.now();
  const record: TokenRecord = {
    id,
    sha256: hashOf(secret),
    user,
    ...(project !== undefined && { project }),
    roles: [...roles],
    ...(description !== undefined && { description }),
    createTime: new Date(now).toISOString(),
    ...(lifetimeMs !== undefined && { expireTime: new Date(now + lifetimeMs).toISOString() }),
  };
  change(path, (tokens) => [...tokens, record]);
  return { token, record };
}

/** The tokens of a file, the expired ones too. @throws as `createToken`. */
export function listTokens(path: string): readonly TokenRecord[] {
  return read(path) ?? [];
}

/** Takes a token back. Answers what there was of that id; undefined if there was none. @throws as `createToken`. */
export function revokeToken(path: string, id: string): TokenRecord | undefined {
  let revoked: TokenRecord | undefined;
  change(path, (tokens) => {
    revoked = tokens.find((token) => token.id === id);
    return revoked && tokens.filter((token) => token !== revoked);
  });
  return revoked;
}

/**
 * Changes the file in one step: whoever reads it has the tokens from before or those from after. Who changes it at the same
 * time waits; the lock is SQLite's, which the kernel takes back from whoever dies (see `lockDataFolder`).
 */
function change(
  path: string,
  changed: (tokens: readonly TokenRecord[]) => readonly TokenRecord[] | undefined,
): void {
  const lock = takeLock(`${path}.lock`);
  try {
    const tokens = changed(read(path) ?? []);
    if (tokens !== undefined) {
      // What is written is what can be read.
      replace(path, tokenFileText(parseTokenFile(tokenFileText(tokens))));
    }
  } finally {
    lock.close();
  }
}

function takeLock(path: string): DatabaseSync {
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(path, { timeout: patienceMs });
    chmodSync(path, ownersOnly);
    lock.exec('pragma journal_mode = memory; begin immediate');
    return lock;
  } catch (error) {
    lock?.close();
    throw new Error(
      `${path} cannot be locked (${messageOf(error)}): its folder has to be there, this user has to be able to write to it, and ` +
        `nobody may hold it for longer than ${patienceMs / 1000} s`,
      { cause: error },
    );
  }
}

function read(path: string): readonly TokenRecord[] | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return undefined;
    }
    throw unusable(path, error);
  }
  try {
    return parseTokenFile(text);
  } catch (error) {
    throw unusable(path, error);
  }
}

function unusable(path: string, cause: unknown): Error {
  return new Error(`${path} cannot be used: ${messageOf(cause)}`, { cause });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function replace(path: string, text: string): void {
  const next = `${path}.${randomUUID()}.tmp`;
  try {
    const file = openSync(next, 'wx', ownersOnly);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(next, path);
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  }
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
