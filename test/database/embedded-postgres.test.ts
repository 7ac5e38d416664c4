import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, type TestContext, vi } from 'vitest';
import { lockDataFolder } from '../../src/database/data-folder-lock.ts';
import {
  DataFolderInUseError,
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  type PostgresStateChange,
  startEmbeddedPostgres,
} from '../../src/database/embedded-postgres.ts';
import { findBinaries, installedPackage } from '../../src/database/embedded-postgres/binaries.ts';
import { stopLeftovers } from '../../src/database/embedded-postgres/postmaster.ts';
import { postgresProcessesOf } from '../../src/database/embedded-postgres/postmaster-pid.ts';
import {
  clearAbandonedThrowaways,
  roomyFolder,
  startThrowawayPostgres,
} from '../../src/database/embedded-postgres/throwaway.ts';

const NOBODY = { name: 'nobody', uid: 65534, gid: 65534 };
const isRoot = process.getuid?.() === 0;

const temporaryFolders: string[] = [];
const dataFolders: string[] = [];
const servers: EmbeddedPostgres[] = [];
const owners: ChildProcess[] = [];

// Most cases need some cluster and leave it sound; to make one for each would take most of the time.
let sharedDataDir: string;

beforeAll(async () => {
  sharedDataDir = await mkdtemp(path.join(await roomyFolder(), 'darkroom-embedded-'));
  await (await start(sharedDataDir)).stop();
});

afterAll(async () => await rm(sharedDataDir, { recursive: true, force: true }));

afterEach(async () => {
  for (const owner of owners.splice(0)) owner.kill('SIGKILL');
  await Promise.all(servers.splice(0).map(async (server) => await server.stop()));
  for (const folder of [...dataFolders.splice(0), sharedDataDir])
    await stopLeftovers(clusterOf(folder));
  for (const folder of temporaryFolders.splice(0)) {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(await roomyFolder(), 'darkroom-embedded-'));
  temporaryFolders.push(folder);
  return folder;
}

/** A path below a folder that is removed after the test, with every server on it. */
async function newDataDir(...below: string[]): Promise<string> {
  const dataDir = path.join(await newFolder(), ...below, 'data');
  dataFolders.push(dataDir);
  return dataDir;
}

function clusterOf(dataDir: string): string {
  return path.join(dataDir, 'postgres', 'cluster');
}

async function start(
  dataDir: string,
  options: Partial<EmbeddedPostgresOptions> = {},
): Promise<EmbeddedPostgres> {
  const silence = () => {};
  const server = await startEmbeddedPostgres({
    dataDir,
    logger: { info: silence, warn: silence, error: silence },
    durable: false,
    ...options,
  });
  servers.push(server);
  return server;
}

async function query(connectionString: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return (await client.query({ text, rowMode: 'array' })).rows.flat();
  } finally {
    await client.end();
  }
}

interface Owner {
  readonly process: ChildProcess;
  /** The next line that it prints. */
  nextLine(): Promise<string>;
}

const OWNER_SCRIPT = `
  const { startEmbeddedPostgres } = await import(process.env.MODULE);
  const { default: pg } = await import(process.env.PG);
  const logger = { info() {}, warn() {}, error() {} };
  const server = await startEmbeddedPostgres({ dataDir: process.env.DATA_DIR, logger, durable: false });
  console.log(server.pid);
`;

/** Another process that owns a server, as a second service would; it prints the server's pid first. */
function startOwner(
  dataDir: string,
  then = 'setInterval(() => {}, 1000);',
  user: { uid?: number; gid?: number } = {},
): Owner {
  const child = spawn(process.execPath, ['--input-type=module', '-e', OWNER_SCRIPT + then], {
    env: {
      PATH: process.env['PATH'],
      MODULE: new URL('../../src/database/embedded-postgres.ts', import.meta.url).href,
      PG: pathToFileURL(createRequire(import.meta.url).resolve('pg')).href,
      DATA_DIR: dataDir,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
    cwd: '/',
    ...user,
  });
  owners.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    process: child,
    nextLine: async () => {
      const { value, done } = await lines.next();
      if (done === true) throw new Error('The owner ended before it printed a line.');
      return value;
    },
  };
}

/** A process that is ready to take the lock at the word, and says how that went. */
function startContender(folder: string): ChildProcess {
  const script = `
    const { lockDataFolder } = await import(process.env.MODULE);
    process.on('message', () =>
      lockDataFolder(process.env.FOLDER).then(() => 'held', (e) => e.name).then((a) => process.send(a)));
    process.send('ready');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: {
      PATH: process.env['PATH'],
      MODULE: new URL('../../src/database/data-folder-lock.ts', import.meta.url).href,
      FOLDER: folder,
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  owners.push(child);
  return child;
}

async function killed(owner: Owner): Promise<void> {
  owner.process.kill('SIGKILL');
  await once(owner.process, 'exit');
}

function skipAloud(context: TestContext, reason: string): never {
  console.warn(`SKIPPED: ${context.task.name}: ${reason}`);
  return context.skip(reason);
}

describe('a first start', () => {
  it('makes a cluster under the data folder that answers queries', async () => {
    const dataDir = await newDataDir();
    const server = await start(dataDir);

    expect(server).toMatchObject({ adopted: false, state: 'running' });
    const sql = `select current_database(), current_setting('timezone'), current_setting('listen_addresses'),
      datlocale, pg_encoding_to_char(encoding) from pg_database where datname = current_database()`;
    expect(await query(server.connectionString, sql)).toEqual([
      'darkroom',
      'UTC',
      '',
      'C.UTF-8',
      'UTF8',
    ]);
    const hba = await readFile(path.join(clusterOf(dataDir), 'pg_hba.conf'), 'utf8');
    expect(hba).not.toMatch(/^[^#]*\b(trust|password|md5)$/m);
    const password = await stat(path.join(clusterOf(dataDir), 'darkroom.password'));
    expect(password.mode & 0o777).toBe(0o600);
  });

  it('syncs to disk unless told not to', async () => {
    const server = await start(sharedDataDir, { durable: true });

    const sql = `select current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit')`;
    expect(await query(server.connectionString, sql)).toEqual(['on', 'on', 'on']);
  });

  it('works in a folder whose path is longer than a socket address, and has odd characters', async () => {
    const server = await start(await newDataDir('d'.repeat(120), `it's, "50 %" é`));

    expect(await query(server.connectionString, 'select 1')).toEqual([1]);
    const link = decodeURIComponent(new URL(server.connectionString).hostname);
    await server.stop();
    await expect(stat(link)).rejects.toThrow('ENOENT');
  });

  it('does over what a killed initdb left half done', async () => {
    const dataDir = await newDataDir();
    const home = path.join(dataDir, 'postgres');
    const owner = startOwner(dataDir);
    const unfinished = await vi.waitFor(
      async () => {
        const name = (await readdir(home)).find((entry) =>
          /^cluster\.unfinished-[^.]+$/.test(entry),
        );
        expect(await readdir(path.join(home, name ?? 'none'))).toContain('base');
        return path.join(home, name ?? 'none');
      },
      { timeout: 20_000, interval: 2 },
    );
    await killed(owner);
    expect(await readdir(home)).not.toContain('cluster');

    const server = await start(dataDir);

    expect(await query(server.connectionString, 'select 1')).toEqual([1]);
    expect((await readdir(home)).sort()).toEqual(['cluster', 'postgres.log']);
    expect(await postgresProcessesOf(unfinished)).toEqual([]);
  });
});

describe('stopping', () => {
  it('leaves no process behind, and the data for the next start', async () => {
    const dataDir = sharedDataDir;
    const first = await start(dataDir);
    await query(first.connectionString, 'create table plate as select 42 as number');
    const lingering = new pg.Client({ connectionString: first.connectionString });
    lingering.on('error', () => {});
    await lingering.connect();

    await Promise.all([first.stop(), first.stop()]);

    expect(first.state).toBe('stopped');
    expect(() => process.kill(first.pid, 0)).toThrow('ESRCH');
    expect(await postgresProcessesOf(clusterOf(dataDir))).toEqual([]);
    const second = await start(dataDir);
    expect(second.connectionString).toBe(first.connectionString);
    expect(await query(second.connectionString, 'select number from plate')).toEqual([42]);
    await query(second.connectionString, 'drop table plate');
  });

  it('is bounded when a session does not end in time', async () => {
    const dataDir = sharedDataDir;
    const server = await start(dataDir, { stopTimeoutMs: 1 });
    const client = new pg.Client({ connectionString: server.connectionString });
    client.on('error', () => {});
    await client.connect();
    const sleeping = client.query('select pg_sleep(600)').catch((error: unknown) => error);

    await server.stop();

    expect(await sleeping).toBeInstanceOf(Error);
    expect(await postgresProcessesOf(clusterOf(dataDir))).toEqual([]);
  });

  it('happens by itself when the owner ends without it, which the server does not delay', async () => {
    const dataDir = sharedDataDir;
    const owner = startOwner(dataDir, '');

    const [code] = await once(owner.process, 'exit');

    expect(code).toBe(0);
    await vi.waitFor(
      async () => expect(await postgresProcessesOf(clusterOf(dataDir))).toEqual([]),
      { timeout: 10_000, interval: 20 },
    );
  });

  it("is left to the owner when Ctrl-C reaches the owner's process group", async () => {
    const owner = startOwner(
      sharedDataDir,
      `process.once('SIGINT', async () => {
         const client = new pg.Client({ connectionString: server.connectionString });
         await client.connect();
         console.log('answers', (await client.query('select 1 as one')).rows[0].one);
         process.exit();
       });
       setInterval(() => {}, 1000);
       console.log('listening');`,
    );
    await owner.nextLine();
    expect(await owner.nextLine()).toBe('listening');

    process.kill(-(owner.process.pid ?? Number.NaN), 'SIGINT');

    expect(await owner.nextLine()).toBe('answers 1');
  });
});

describe('a server that outlived its killed owner', () => {
  it('is adopted, with its data, and stopped like one of our own', async () => {
    const dataDir = sharedDataDir;
    const owner = startOwner(dataDir);
    const pid = Number(await owner.nextLine());
    await killed(owner);

    const server = await start(dataDir);

    expect(server).toMatchObject({ adopted: true, pid });
    expect(await query(server.connectionString, 'select 1')).toEqual([1]);
    await server.stop();
    expect(await postgresProcessesOf(clusterOf(dataDir))).toEqual([]);
  });

  it('is replaced when it should now run with other settings', async () => {
    const dataDir = sharedDataDir;
    const owner = startOwner(dataDir);
    const pid = Number(await owner.nextLine());
    await killed(owner);

    const server = await start(dataDir, { extraSettings: { max_connections: '33' } });

    expect(server.adopted).toBe(false);
    expect(server.pid).not.toBe(pid);
    expect(await query(server.connectionString, 'show max_connections')).toEqual(['33']);
  });

  it('is replaced when it no longer answers', async () => {
    const dataDir = sharedDataDir;
    const owner = startOwner(dataDir);
    const pid = Number(await owner.nextLine());
    await killed(owner);
    await rm(path.join(clusterOf(dataDir), '.s.PGSQL.5432'));

    const server = await start(dataDir);

    expect(server.adopted).toBe(false);
    expect(server.pid).not.toBe(pid);
    expect(await query(server.connectionString, 'select 1')).toEqual([1]);
  });

  it('is not mistaken for another process that has got its id', async () => {
    const dataDir = sharedDataDir;
    const pidFile = `${process.pid}\n${clusterOf(dataDir)}\n1\n5432\n.\n\n0 0\nready\n`;
    await writeFile(path.join(clusterOf(dataDir), 'postmaster.pid'), pidFile);
    await writeFile(path.join(clusterOf(dataDir), '.s.PGSQL.5432.lock'), pidFile);

    const server = await start(dataDir);

    expect(server.adopted).toBe(false);
    expect(await query(server.connectionString, 'select 1')).toEqual([1]);
  });
});

describe('a server that dies', () => {
  it.each(['started', 'adopted'])(
    'is started again under the same address (%s)',
    async (origin) => {
      const dataDir = sharedDataDir;
      if (origin === 'adopted') {
        const owner = startOwner(dataDir);
        await owner.nextLine();
        await killed(owner);
      }
      const server = await start(dataDir);
      expect(server.adopted).toBe(origin === 'adopted');
      const { pid } = server;
      const changes: PostgresStateChange[] = [];
      server.onStateChange((change) => changes.push(change));

      process.kill(pid, 'SIGKILL');
      await vi.waitFor(() => expect(changes.at(-1)?.state).toBe('running'), { timeout: 20_000 });

      expect(changes.map(({ state }) => state)).toEqual(['restarting', 'running']);
      expect(server).toMatchObject({ adopted: false, state: 'running' });
      expect(server.pid).not.toBe(pid);
      expect(await query(server.connectionString, 'select 1')).toEqual([1]);
    },
  );

  it('is not started again once it is being stopped', async () => {
    const dataDir = sharedDataDir;
    const server = await start(dataDir);
    const restarting = new Promise<void>((resolve) => void server.onStateChange(() => resolve()));
    process.kill(server.pid, 'SIGKILL');
    await restarting;

    await server.stop();

    expect(server.state).toBe('stopped');
    expect(await postgresProcessesOf(clusterOf(dataDir))).toEqual([]);
  });
});

describe('a data folder', () => {
  it('is refused to a second service, until the first was killed', async () => {
    const dataDir = sharedDataDir;
    const owner = startOwner(dataDir);
    await owner.nextLine();

    const refusal = await start(dataDir).catch((error: unknown) => error);

    expect(refusal).toBeInstanceOf(DataFolderInUseError);
    expect(refusal).toMatchObject({ folder: dataDir, holderPid: owner.process.pid });
    expect(String(refusal)).toContain(
      `${dataDir} is in use by another Darkroom (pid ${owner.process.pid}`,
    );
    await killed(owner);
    expect((await start(dataDir)).state).toBe('running');
  });

  it('goes to exactly one of many who ask in the same instant', async () => {
    const folder = await newFolder();
    const contenders = Array.from({ length: 6 }, () => startContender(folder));
    await Promise.all(contenders.map(async (contender) => await once(contender, 'message')));

    for (const contender of contenders) contender.send('go');
    const answers = await Promise.all(
      contenders.map(async (contender) => (await once(contender, 'message'))[0]),
    );

    expect(answers.filter((answer) => answer === 'held')).toHaveLength(1);
    expect(answers.filter((answer) => answer === 'DataFolderInUseError')).toHaveLength(5);
  });

  it('stays taken when its holder keeps no reference to the lock', async () => {
    const folder = await newFolder();
    await lockDataFolder(folder);
    setFlagsFromString('--expose-gc');
    const collectGarbage: unknown = runInNewContext('gc');
    await setImmediate();
    if (typeof collectGarbage === 'function') collectGarbage();

    const contender = startContender(folder);
    await once(contender, 'message');
    contender.send('go');

    expect(await once(contender, 'message')).toContain('DataFolderInUseError');
  });

  it('is free again after a release, also for the process that held it', async () => {
    const folder = await newFolder();
    const lock = await lockDataFolder(folder);
    await expect(lockDataFolder(folder)).rejects.toThrow(`pid ${process.pid}`);

    lock.release();
    lock.release();

    (await lockDataFolder(folder)).release();
  });

  it('with the cluster of another major version is refused, with the way out', async () => {
    const dataDir = sharedDataDir;
    const versionFile = path.join(clusterOf(dataDir), 'PG_VERSION');
    const version = await readFile(versionFile);
    await writeFile(versionFile, '12\n');

    const refusal = await start(dataDir).catch((error: unknown) => error);
    await writeFile(versionFile, version);

    expect(refusal).toMatchObject({ name: 'EmbeddedPostgresError', reason: 'VERSION_MISMATCH' });
    expect(String(refusal)).toContain('pg_dump');
  });

  it('whose server cannot start gives the end of its log, and is left free', async () => {
    const dataDir = sharedDataDir;

    const refusal = await start(dataDir, { extraSettings: { no_such_setting: 'on' } }).catch(
      (error: unknown) => error,
    );

    expect(refusal).toMatchObject({ name: 'EmbeddedPostgresError', reason: 'START_FAILED' });
    expect(String(refusal)).toContain('unrecognized configuration parameter "no_such_setting"');
    expect((await start(dataDir)).state).toBe('running');
  });
});

describe('as root', () => {
  it('keeps the cluster below a folder that only root may enter', async (context) => {
    if (!isRoot) skipAloud(context, 'only root can run PostgreSQL as another user');
    const dataDir = await newDataDir('locked');
    await mkdir(path.dirname(dataDir), { mode: 0o700 });

    const server = await start(dataDir);

    expect(await query(server.connectionString, 'select 1')).toEqual([1]);
    expect((await stat(`/proc/${server.pid}`)).uid).not.toBe(0);
    expect((await stat(clusterOf(dataDir))).uid).toBe((await stat(`/proc/${server.pid}`)).uid);
  });

  it('runs PostgreSQL as the owner of the data folder', async (context) => {
    if (!isRoot) skipAloud(context, 'only root can run PostgreSQL as another user');
    const dataDir = await newDataDir();
    await mkdir(dataDir);
    await chown(dataDir, NOBODY.uid, NOBODY.gid);

    const server = await start(dataDir);

    expect((await stat(`/proc/${server.pid}`)).uid).toBe(NOBODY.uid);
  });

  it('copies binaries that the other user cannot reach, and trusts no planted copy', async (context) => {
    if (!isRoot) skipAloud(context, 'only root can run PostgreSQL as another user');
    const folder = await newFolder();
    await chmod(folder, 0o711);
    const installed = await installedPackage();
    const source = { native: path.join(folder, 'locked', 'native'), label: installed.label };
    await mkdir(path.dirname(source.native), { mode: 0o700 });
    await cp(installed.native, source.native, { recursive: true, verbatimSymlinks: true });
    const planted = path.join(folder, 'planted');
    await mkdir(planted);
    await chown(planted, NOBODY.uid, NOBODY.gid);

    await expect(findBinaries(NOBODY, source, [planted])).rejects.toMatchObject({
      reason: 'ACCOUNT_UNUSABLE',
    });
    const copies = path.join(folder, 'copies');
    const found = await Promise.all(
      [1, 2].map(() => findBinaries(NOBODY, source, [planted, copies])),
    );

    expect(await readdir(planted)).toEqual([]);
    expect(await readdir(copies)).toEqual([installed.label]);
    const postgres = path.join(copies, installed.label, 'bin', 'postgres');
    expect(found.map((binaries) => binaries.postgres)).toEqual([postgres, postgres]);
  });
});

describe('as an ordinary user', () => {
  it('runs PostgreSQL as that user', async (context) => {
    if (!isRoot) skipAloud(context, 'the other tests have just shown it');
    const user = { uid: NOBODY.uid, gid: NOBODY.gid };
    const self = new URL(import.meta.url).pathname;
    const canRead = spawnSync(process.execPath, ['-e', `require('fs').readFileSync('${self}')`], {
      ...user,
      cwd: '/',
    });
    if (canRead.status !== 0) skipAloud(context, 'nobody cannot read this checkout');
    const dataDir = await newDataDir();
    await mkdir(dataDir);
    await chown(dataDir, user.uid, user.gid);
    await chmod(path.dirname(dataDir), 0o711);

    const owner = startOwner(dataDir, undefined, user);
    const pid = await owner.nextLine();

    expect((await stat(`/proc/${pid}`)).uid).toBe(user.uid);
    expect((await stat(clusterOf(dataDir))).uid).toBe(user.uid);
  });
});

describe('a throw-away server', () => {
  it('is gone with its files after its stop', async () => {
    const server = await startThrowawayPostgres({ extraSettings: { max_connections: '40' } });
    const sql = `select current_setting('fsync'), current_setting('max_connections')`;
    expect(await query(server.connectionString, sql)).toEqual(['off', '40']);
    const cluster = decodeURIComponent(new URL(server.connectionString).hostname);

    await server.stop();

    await expect(stat(cluster)).rejects.toThrow('ENOENT');
    expect(() => process.kill(server.pid, 0)).toThrow('ESRCH');
  });

  it('is cleared away by a later run when its own was killed, and not before', async () => {
    const abandoned = await mkdtemp(path.join(tmpdir(), 'darkroom-throwaway-'));
    temporaryFolders.push(abandoned);
    dataFolders.push(abandoned);
    const owner = startOwner(abandoned);
    await owner.nextLine();
    const anHourAgo = new Date(Date.now() - 3_600_000);
    await utimes(abandoned, anHourAgo, anHourAgo);

    await clearAbandonedThrowaways();
    expect(await postgresProcessesOf(clusterOf(abandoned))).not.toEqual([]);
    await killed(owner);
    await clearAbandonedThrowaways();

    expect(await postgresProcessesOf(clusterOf(abandoned))).toEqual([]);
    await expect(stat(abandoned)).rejects.toThrow('ENOENT');
  });

  it('is cleared away wherever it was put', async () => {
    const anHourAgo = new Date(Date.now() - 3_600_000);
    const parents = [tmpdir(), '/dev/shm'].filter((parent) => existsSync(parent));
    const abandoned: string[] = [];
    for (const parent of parents) {
      const folder = await mkdtemp(path.join(parent, 'darkroom-throwaway-'));
      temporaryFolders.push(folder);
      await utimes(folder, anHourAgo, anHourAgo);
      abandoned.push(folder);
    }

    await clearAbandonedThrowaways();

    expect(abandoned.filter((folder) => existsSync(folder))).toEqual([]);
  });
});
