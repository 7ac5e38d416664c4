import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { chown, mkdir, open, readdir, readFile, rename, rm, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { type Account, dataDirectoryArgument, launchOptions } from './account.ts';
import type { Binaries } from './binaries.ts';
import { EmbeddedPostgresError, hasCode } from './errors.ts';
import { stopLeftovers } from './postmaster.ts';

/** The superuser of the cluster, and the database made for the service. */
export const ROLE = 'darkroom';

const UNFINISHED = 'cluster.unfinished-';
const PASSWORD_FILE = 'darkroom.password';

/** Where things lie below `<dataDir>/postgres`. */
export interface ClusterPaths {
  /** The folder of all that is PostgreSQL's. */
  readonly home: string;
  /** PostgreSQL's data directory; exists only when `initdb` was completed. */
  readonly cluster: string;
  /** What the server logs. */
  readonly log: string;
}

/** How a cluster is made. */
export interface ClusterOptions {
  readonly durable: boolean;
  /** Bound on `initdb`, in ms. */
  readonly timeoutMs: number;
  /** Gives up. */
  readonly signal: AbortSignal;
}

/** The paths for a data folder, given as an absolute path. */
export function clusterPaths(dataDir: string): ClusterPaths {
  const home = path.join(dataDir, 'postgres');
  return { home, cluster: path.join(home, 'cluster'), log: path.join(home, 'postgres.log') };
}

/**
 * Makes the cluster unless it exists, and checks that these binaries and this account can use it. A
 * cluster is made under another name and renamed when it is complete and on disk, so one whose
 * making was interrupted is never taken for whole; it is thrown away here and made anew.
 *
 * @returns the password of {@link ROLE}
 * @throws EmbeddedPostgresError INIT_FAILED, VERSION_MISMATCH, CLUSTER_UNUSABLE, ACCOUNT_UNUSABLE
 */
export async function openCluster(
  paths: ClusterPaths,
  binaries: Binaries,
  account: Account | undefined,
  options: ClusterOptions,
): Promise<string> {
  // Run as root only root may write here, else the other user could turn the log into a link to any file.
  await mkdir(paths.home, { recursive: true, mode: account === undefined ? 0o700 : 0o711 });
  await discardUnfinished(paths.home);
  if (!(await exists(paths.cluster))) await createCluster(paths, binaries, account, options);
  return await checkCluster(paths.cluster, binaries, account);
}

async function exists(folder: string): Promise<boolean> {
  return await stat(folder).then(
    () => true,
    (error: unknown) => {
      if (hasCode(error, 'ENOENT')) return false;
      throw error;
    },
  );
}

async function discardUnfinished(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    if (!name.startsWith(UNFINISHED)) continue;
    const folder = path.join(home, name);
    // An initdb outlives a service that is killed.
    await stopLeftovers(folder);
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function createCluster(
  paths: ClusterPaths,
  binaries: Binaries,
  account: Account | undefined,
  options: ClusterOptions,
): Promise<void> {
  const unfinished = path.join(paths.home, `${UNFINISHED}${randomUUID()}`);
  await mkdir(unfinished, { mode: 0o700 });
  try {
    if (account !== undefined)
      await giveTo(account, () => chown(unfinished, account.uid, account.gid));
    const password = randomBytes(24).toString('base64url');
    await runInitdb(unfinished, password, binaries, account, options);
    // Inside the cluster, so that no crash and no restored backup can part the two.
    const file = await open(path.join(unfinished, PASSWORD_FILE), 'wx', 0o600);
    try {
      await file.writeFile(`${password}\n`);
      if (account !== undefined) await file.chown(account.uid, account.gid);
      await file.sync();
    } finally {
      await file.close();
    }
    await syncFolder(unfinished);
    await rename(unfinished, paths.cluster);
    await syncFolder(paths.home);
  } catch (error) {
    // Its children outlive an initdb that is killed.
    await stopLeftovers(unfinished);
    throw error;
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

async function giveTo(account: Account, action: () => Promise<void>): Promise<void> {
  await action().catch((error: unknown) => {
    throw new EmbeddedPostgresError(
      'ACCOUNT_UNUSABLE',
      `PostgreSQL refuses to run as root, and its files cannot be given to user ${account.name} ` +
        '(a container without the rights to, or a network file system?). ' +
        'Start Darkroom as an ordinary user, or set DATABASE_URL.',
      { cause: error },
    );
  });
}

async function runInitdb(
  folder: string,
  password: string,
  binaries: Binaries,
  account: Account | undefined,
  options: ClusterOptions,
): Promise<void> {
  const args = [
    '-D',
    dataDirectoryArgument(folder, account),
    `--username=${ROLE}`,
    '--pwfile=/dev/stdin',
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // The provider that is part of PostgreSQL: indexes do not break when the system's libc changes.
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--no-instructions',
    ...(options.durable ? [] : ['--no-sync']),
  ];
  // initdb opens /dev/stdin by name, which a pipe from Node (a socket) refuses: so an open file that
  // no longer has a name. Whoever runs initdb must own it to open it.
  const passwordPath = `${folder}.password`;
  const stdin = await open(passwordPath, 'wx+', 0o600);
  try {
    await unlink(passwordPath);
    if (account !== undefined) await stdin.chown(account.uid, account.gid);
    await stdin.write(`${password}\n`, 0);
    const child = spawn(binaries.initdb, args, {
      ...launchOptions(account, folder),
      stdio: [stdin.fd, 'pipe', 'pipe'],
      timeout: options.timeoutMs,
      signal: options.signal,
    });
    let output = '';
    const collect = (data: Buffer) => void (output += data.toString());
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    const status = await new Promise<string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(signal ?? String(code)));
    });
    if (output.includes('could not look up effective user ID')) {
      throw new EmbeddedPostgresError(
        'ACCOUNT_UNUSABLE',
        `PostgreSQL cannot run as uid ${account?.uid ?? process.getuid?.()}, which has no entry in ` +
          '/etc/passwd (a container with an arbitrary user?). Add one, or set DATABASE_URL.',
      );
    }
    if (status !== '0') throw new Error(`initdb ended with ${status}: ${output.trim()}`);
  } catch (error) {
    if (error instanceof EmbeddedPostgresError || options.signal.aborted) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new EmbeddedPostgresError(
      'INIT_FAILED',
      `Cannot create the PostgreSQL cluster in ${folder}: ${reason}`,
      { cause: error, mayPass: /ended with SIG|terminated by signal/.test(reason) },
    );
  } finally {
    await stdin.close();
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function checkCluster(
  cluster: string,
  binaries: Binaries,
  account: Account | undefined,
): Promise<string> {
  const owner = (await stat(cluster)).uid;
  const runsAs = account?.uid ?? process.getuid?.();
  if (owner !== runsAs) {
    throw new EmbeddedPostgresError(
      'CLUSTER_UNUSABLE',
      `The PostgreSQL cluster ${cluster} belongs to uid ${owner}, but PostgreSQL is to run as uid ` +
        `${runsAs}. Start Darkroom as the user it was started as before, or run: chown -R ${runsAs} '${cluster}'`,
    );
  }
  const made = await readOwn(cluster, 'PG_VERSION');
  if (made !== binaries.majorVersion) {
    throw new EmbeddedPostgresError(
      'VERSION_MISMATCH',
      `The PostgreSQL cluster ${cluster} was made by version ${made}, and this Darkroom brings version ` +
        `${binaries.version}, which cannot read it. Start the Darkroom that made it and dump its database ` +
        '(pg_dump), move the folder away, start this one and load the dump; or run a PostgreSQL ' +
        `${made} server on that folder and set DATABASE_URL.`,
    );
  }
  return await readOwn(cluster, PASSWORD_FILE);
}

async function readOwn(cluster: string, name: string): Promise<string> {
  try {
    return (await readFile(path.join(cluster, name), 'utf8')).trim();
  } catch (error) {
    throw new EmbeddedPostgresError(
      'CLUSTER_UNUSABLE',
      `The PostgreSQL cluster ${cluster} cannot be used: its file ${name} cannot be read. ` +
        'Restore the folder from a backup, or move it away to begin with an empty database.',
      { cause: error },
    );
  }
}
