import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Environment } from '../environment.ts';
import { writePrivateFile } from '../profiles/private-file.ts';
import { stateFolder } from '../profiles/user-folders.ts';

/** Which upload it is: the same command on the same file means the same upload. */
export interface UploadKey {
  readonly endpoint: string;
  readonly project: string | undefined;
  /** The real path of the file. */
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
  /** The name that the image is to have. */
  readonly name: string;
}

/** What is kept of an upload until it has ended. */
export interface UploadRecord extends UploadKey {
  /** Makes it safe to ask for the same image again. */
  readonly requestId: string;
  /** Undefined as long as nobody knows whether the image was made. */
  readonly taskId: string | undefined;
  readonly pid: number;
  readonly host: string;
}

/** The uploads of this user that have not ended. */
export class UploadRecords {
  readonly #folder: string;

  constructor(environment: Environment) {
    this.#folder = join(stateFolder(environment), 'uploads');
  }

  /** What is kept of an upload; nothing where there is no such file, or one that cannot be used. */
  find(key: UploadKey): UploadRecord | undefined {
    try {
      const record: unknown = JSON.parse(readFileSync(this.#pathOf(key), 'utf8'));
      return isRecordOf(key, record) ? record : undefined;
    } catch {
      return undefined;
    }
  }

  /** Keeps it, in one step. @throws what the file system throws */
  keep(record: UploadRecord): void {
    writePrivateFile(this.#pathOf(record), `${JSON.stringify(record, undefined, 2)}\n`);
  }

  /** Forgets it. */
  forget(key: UploadKey): void {
    rmSync(this.#pathOf(key), { force: true });
  }

  #pathOf({ endpoint, project, path, size, mtimeMs, name }: UploadKey): string {
    const text = JSON.stringify([endpoint, project ?? null, path, size, mtimeMs, name]);
    return join(
      this.#folder,
      `${createHash('sha256').update(text).digest('hex').slice(0, 32)}.json`,
    );
  }
}

/** A record of this process. */
export function recordOf(key: UploadKey, requestId: string, taskId?: string): UploadRecord {
  return { ...key, requestId, taskId, pid: process.pid, host: hostname() };
}

/** Whether another process of this machine is at work on it. */
export function isBeingSent({ pid, host }: UploadRecord): boolean {
  if (host !== hostname() || pid === process.pid) {
    return false;
  }
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  // Its number may be another program's by now.
  const commandLine = `/proc/${pid}/cmdline`;
  return !existsSync(commandLine) || readFileSync(commandLine, 'utf8').includes('darkroom');
}

function isRecordOf(key: UploadKey, value: unknown): value is UploadRecord {
  if (typeof value !== 'object' || value === null) {
    return false;
  }
  const record = value as Record<string, unknown>;
  return (
    record['path'] === key.path &&
    record['endpoint'] === key.endpoint &&
    typeof record['requestId'] === 'string' &&
    (record['taskId'] === undefined || typeof record['taskId'] === 'string') &&
    typeof record['pid'] === 'number' &&
    typeof record['host'] === 'string'
  );
}
