import { execFile } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { hasCode } from './errors.ts';

/** What a running server says of itself in `postmaster.pid`. */
export interface PostmasterPid {
  /** Process id of the postmaster, or of a single-user session when `singleUser`. */
  readonly pid: number;
  /** An operator works on the cluster with `postgres --single`. */
  readonly singleUser: boolean;
  /** Empty in the first instants of a start. */
  readonly status: '' | 'starting' | 'stopping' | 'ready' | 'standby';
}

const STATUSES = ['starting', 'stopping', 'ready', 'standby'] as const;

/** Reads `postmaster.pid`; undefined when there is none or it is not fully written. */
export async function readPostmasterPid(cluster: string): Promise<PostmasterPid | undefined> {
  const text = await readFile(path.join(cluster, 'postmaster.pid'), 'utf8').catch((error) => {
    if (hasCode(error, 'ENOENT')) return '';
    throw error;
  });
  const lines = text.split('\n');
  const pid = Number.parseInt(lines[0] ?? '', 10);
  if (!Number.isSafeInteger(pid) || pid === 0) return undefined;
  const word = lines[7]?.trim();
  const status = STATUSES.find((known) => known === word) ?? '';
  return { pid: Math.abs(pid), singleUser: pid < 0, status };
}

/**
 * Whether `pid` is, right now, a PostgreSQL process that works on this cluster. A process that only
 * got the same id after a crash or a reboot is not taken for one.
 *
 * On Linux the proof is the process's working directory, which PostgreSQL sets to its data
 * directory: it holds by inode, whatever path the folder goes by. Elsewhere it is the command line,
 * in which the data directory is the first argument.
 *
 * @param cluster absolute path of the data directory
 */
export async function isPostgresOf(pid: number, cluster: string): Promise<boolean> {
  if (process.platform !== 'linux') {
    const command = await promisify(execFile)('ps', [
      '-ww',
      '-o',
      'command=',
      '-p',
      String(pid),
    ]).catch(() => undefined);
    return command?.stdout.includes(`postgres -D ${cluster} `) ?? false;
  }
  try {
    const [cwd, folder, command] = await Promise.all([
      stat(`/proc/${pid}/cwd`),
      stat(cluster),
      readFile(`/proc/${pid}/comm`, 'utf8'),
    ]);
    return (
      cwd.dev === folder.dev &&
      cwd.ino === folder.ino &&
      ['postgres', 'initdb'].includes(command.trimEnd())
    );
  } catch {
    return false;
  }
}

/**
 * All PostgreSQL processes, `initdb` included, that work on this cluster. Outside Linux only the one
 * named in `postmaster.pid`: to look at all there would take a command for each.
 */
export async function postgresProcessesOf(cluster: string): Promise<number[]> {
  const candidates =
    process.platform === 'linux'
      ? (await readdir('/proc')).map(Number).filter((pid) => Number.isSafeInteger(pid))
      : [(await readPostmasterPid(cluster))?.pid].filter((pid) => pid !== undefined);
  const ours = await Promise.all(candidates.map((pid) => isPostgresOf(pid, cluster)));
  return candidates.filter((_, index) => ours[index] === true);
}
