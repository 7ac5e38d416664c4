import { mkdtemp, readdir, rm, stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { lockDataFolder } from '../data-folder-lock.ts';
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from '../embedded-postgres.ts';
import { clusterPaths } from './cluster.ts';
import { stopLeftovers } from './postmaster.ts';

const PREFIX = 'darkroom-throwaway-';
// Between the making of its folder and its lock a run cannot be told from a dead one. That takes
// milliseconds, so folders this young are left for the next run to look at.
const GRACE_MS = 60_000;

// What Linux keeps in memory. Making and deleting databases, of some 300 files each, takes a third of the CPU there.
const MEMORY_FOLDER = '/dev/shm';
/** So much must be free there, and be had, in bytes: in a container it is 64 MiB as a rule. */
const MEMORY_NEEDED = 4 * 1024 ** 3;

/** A server for one test run. */
export type ThrowawayPostgres = Pick<EmbeddedPostgres, 'connectionString' | 'pid' | 'stop'>;

/**
 * Starts a cluster without fsync, in memory where there is room, else in a temporary folder, that `stop()` deletes. What
 * earlier runs that were killed have left behind, servers and files, is cleared away first.
 *
 * @throws EmbeddedPostgresError as startEmbeddedPostgres does
 */
export async function startThrowawayPostgres(
  options: Pick<EmbeddedPostgresOptions, 'extraSettings'> &
    Partial<Pick<EmbeddedPostgresOptions, 'logger'>> = {},
): Promise<ThrowawayPostgres> {
  await clearAbandonedThrowaways();
  const dataDir = await mkdtemp(path.join(await roomyFolder(), PREFIX));
  const remove = async () => await rm(dataDir, { recursive: true, force: true });
  const silence = () => {};
  try {
    const postgres = await startEmbeddedPostgres({
      logger: { info: silence, warn: silence, error: silence },
      ...options,
      dataDir,
      durable: false,
      stopTimeoutMs: 2_000,
    });
    return {
      connectionString: postgres.connectionString,
      pid: postgres.pid,
      stop: async () => {
        await postgres.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/**
 * Stops the servers and deletes the files of throw-away runs that ended without `stop()`. Those in
 * use, of another user, or younger than a minute are left alone.
 */
export async function clearAbandonedThrowaways(): Promise<void> {
  for (const parent of new Set([tmpdir(), MEMORY_FOLDER])) {
    for (const name of await readdir(parent).catch(() => [])) {
      if (!name.startsWith(PREFIX)) continue;
      // One in use, or deleted by a run beside this one, is none of our business.
      await clearUnlessInUse(path.join(parent, name)).catch(() => {});
    }
  }
}

/** Where files lie that are thrown away: in memory where there is room, else in the folder of temporary files. */
export async function roomyFolder(): Promise<string> {
  if (process.availableMemory() < MEMORY_NEEDED) return tmpdir();
  const { bavail, bsize } = await statfs(MEMORY_FOLDER).catch(() => ({ bavail: 0, bsize: 0 }));
  return bavail * bsize < MEMORY_NEEDED ? tmpdir() : MEMORY_FOLDER;
}

async function clearUnlessInUse(folder: string): Promise<void> {
  const entry = await stat(folder);
  if (entry.uid !== process.getuid?.() || Date.now() - entry.mtimeMs < GRACE_MS) return;
  const lock = await lockDataFolder(folder);
  try {
    await stopLeftovers(clusterPaths(folder).cluster);
    await rm(folder, { recursive: true, force: true });
  } finally {
    lock.release();
  }
}
