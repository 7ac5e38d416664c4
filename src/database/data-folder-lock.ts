import { readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/**
 * Another live process holds the data folder. The message names the folder, the holder as far as it
 * is known, and what an operator can do.
 */
export class DataFolderInUseError extends Error {
  override readonly name = 'DataFolderInUseError';
  readonly folder: string;
  /** Process id of the holder; undefined in the instant before the holder has written it down. */
  readonly holderPid: number | undefined;

  constructor(folder: string, holder: LockHolder | undefined) {
    const who =
      holder === undefined
        ? 'another Darkroom'
        : `another Darkroom (pid ${holder.pid} on ${holder.host})`;
    super(
      `The data folder ${folder} is in use by ${who}. ` +
        'Stop that process, or point DARKROOM_DATA_DIR at another folder.',
    );
    this.folder = folder;
    this.holderPid = holder?.pid;
  }
}

/** An exclusive hold on a data folder. It ends with `release()` or with the process, however it dies. */
export interface DataFolderLock {
  /** Gives the folder up. Calling it again does nothing. */
  release(): void;
}

interface LockHolder {
  readonly pid: number;
  readonly host: string;
}

const SQLITE_BUSY = 5;

// A database that nothing refers to is closed by the garbage collector, and its lock is gone.
const held = new Set<DatabaseSync>();

/**
 * Takes the data folder for this process, so that no second service works on the same files.
 *
 * Only a lock that the kernel keeps disappears with a SIGKILLed holder, cannot be won by two who
 * start in the same instant, and is not fooled by a reused process id or by two containers that
 * share a volume but not their process ids. Node offers neither flock nor fcntl; SQLite, which is
 * part of Node, takes exactly such a lock when a write transaction begins. Nothing is ever written
 * to that database. IMMEDIATE rather than EXCLUSIVE: of two concurrent starts one always wins, while
 * two EXCLUSIVE ones can refuse each other.
 *
 * @param folder an existing folder
 * @throws DataFolderInUseError when another process, or another call in this one, holds it
 */
export async function lockDataFolder(folder: string): Promise<DataFolderLock> {
  const holderFile = path.join(folder, 'darkroom.pid');
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path.join(folder, 'darkroom.lock'), { timeout: 0 });
    // No rollback journal beside the lock file: one left by a crash would have to be replayed.
    database.exec('pragma journal_mode = memory; begin immediate');
  } catch (error) {
    database?.close();
    if (isBusy(error)) throw new DataFolderInUseError(folder, await readHolder(holderFile));
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `Cannot lock the data folder ${folder} (${reason}). This user must be able to write to it and ` +
        'to its file darkroom.lock, and its file system must support locks.',
      { cause: error },
    );
  }
  try {
    // A file of its own: this process closing the lock file once, even after a mere read, would
    // drop the POSIX lock.
    await writeFile(holderFile, `${process.pid}\n${hostname()}\n`);
  } catch (error) {
    database.close();
    throw error;
  }
  held.add(database);
  return {
    release: () => {
      if (held.delete(database)) database.close();
    },
  };
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY;
}

async function readHolder(holderFile: string): Promise<LockHolder | undefined> {
  const text = await readFile(holderFile, 'utf8').catch(() => '');
  const [pidLine = '', host = ''] = text.split('\n');
  const pid = Number(pidLine);
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  // The holder may have taken the lock and not yet written its name: then this is its predecessor's.
  if (host === hostname() && !isAlive(pid)) return undefined;
  return { pid, host };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
