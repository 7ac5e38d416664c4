import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { EmbeddedPostgresError, hasCode } from './errors.ts';

/** The unprivileged operating-system user that PostgreSQL runs as when the service runs as root. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

// In this order: made for the purpose (Debian and Red Hat, macOS), then the one that exists everywhere.
const CANDIDATES = ['postgres', '_postgres', 'nobody'];

/**
 * The user to run PostgreSQL as: undefined, meaning this process's own, unless that is root, as which
 * PostgreSQL refuses to run. Then it is the owner of the cluster, which alone can read it; else the
 * owner of the data folder, which may have been prepared for a service user; else `postgres`, else
 * `nobody`.
 *
 * @param cluster the data directory, which need not exist
 * @throws EmbeddedPostgresError ACCOUNT_UNUSABLE when the system knows no such user
 */
export async function accountFor(cluster: string, dataDir: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const accounts = await readAccounts();
  const clusterOwner = await ownerOf(cluster);
  if (clusterOwner !== undefined) {
    const known = accounts.find((account) => account.uid === clusterOwner.uid);
    return known ?? { name: `uid ${clusterOwner.uid}`, ...clusterOwner };
  }
  const dataOwner = await ownerOf(dataDir);
  // initdb, unlike the server, wants its user to have a name.
  const prepared = accounts.find((account) => account.uid === dataOwner?.uid);
  if (prepared !== undefined) return prepared;
  for (const name of CANDIDATES) {
    const account = accounts.find((candidate) => candidate.name === name);
    if (account !== undefined) return account;
  }
  throw new EmbeddedPostgresError(
    'ACCOUNT_UNUSABLE',
    'PostgreSQL refuses to run as root, and /etc/passwd has no user postgres or nobody to run it as. ' +
      'Start Darkroom as an ordinary user, or give the data folder to one, or set DATABASE_URL.',
  );
}

/** The owner of a folder; undefined when there is no such folder or root owns it. */
async function ownerOf(folder: string): Promise<{ uid: number; gid: number } | undefined> {
  const owner = await stat(folder).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  });
  return owner === undefined || owner.uid === 0 ? undefined : { uid: owner.uid, gid: owner.gid };
}

async function readAccounts(): Promise<Account[]> {
  const text = await readFile('/etc/passwd', 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':');
    if (name === undefined || uid === undefined || gid === undefined) return [];
    // macOS writes nobody's id as -2; the kernel counts it as unsigned.
    return [{ name, uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 }];
  });
}

/**
 * Spawn options that every PostgreSQL program is started with.
 *
 * The environment is made anew: `PG*` variables and locales of the caller would change what the
 * programs do, and the service's secrets are none of another user's business.
 */
export function launchOptions(account: Account | undefined, cwd: string) {
  return {
    cwd,
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' },
    ...(account === undefined ? {} : { uid: account.uid, gid: account.gid }),
  };
}

/**
 * What PostgreSQL's programs are given as data directory; their working directory must be `folder`.
 *
 * Run as another user on Linux, they reach the folder through their own working directory: libuv
 * changes into it while still root and only then drops its rights, and the kernel follows
 * /proc/self/cwd without walking the path. So the cluster can stay below folders that the user
 * must not enter, such as a 0700 home. A plain "." does not do: PostgreSQL makes it absolute.
 */
export function dataDirectoryArgument(folder: string, account: Account | undefined): string {
  return account !== undefined && process.platform === 'linux' ? '/proc/self/cwd' : folder;
}

/**
 * Runs a program as `account` and gives its standard output, trimmed. Rejects with what it said on
 * standard error, or with the system error when it could not be started.
 */
export async function outputOf(
  program: string,
  args: readonly string[],
  account: Account | undefined,
): Promise<string> {
  return await new Promise((resolve, reject) => {
    execFile(
      program,
      args,
      { ...launchOptions(account, '/'), timeout: 30_000 },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout.trim());
        else reject(stderr === '' ? error : new Error(stderr.trim(), { cause: error }));
      },
    );
  });
}
