import { readFile } from 'node:fs/promises';
import {
  postgresProcessesOf,
  readPostmasterPid,
} from '../src/database/embedded-postgres/postmaster-pid.ts';
import type { Random } from './random.ts';

/** Kills a PostgreSQL server, all of its processes at once, as a machine that loses its power does. */
export async function killServer(cluster: string): Promise<number> {
  const pids = await postgresProcessesOf(cluster);
  for (const pid of pids) {
    signal(pid, 'SIGKILL');
  }
  return pids.length;
}

/**
 * Sends a signal to one of the sessions of a server. SIGKILL makes the server throw all sessions out
 * and recover; SIGTERM ends just this one. Answers whether there was a session.
 */
export async function strikeSession(
  cluster: string,
  random: Random,
  kind: 'SIGKILL' | 'SIGTERM',
): Promise<boolean> {
  const postmaster = await readPostmasterPid(cluster);
  const sessions: number[] = [];
  for (const pid of await postgresProcessesOf(cluster)) {
    const title = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (pid !== postmaster?.pid && title.includes('[local]')) {
      sessions.push(pid);
    }
  }
  if (sessions.length === 0) {
    return false;
  }
  signal(random.pick(sessions), kind);
  return true;
}

function signal(pid: number, kind: NodeJS.Signals): void {
  try {
    process.kill(pid, kind);
  } catch {
    // It has just ended.
  }
}
