import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, inject, onTestFinished, test, type TestContext } from 'vitest';
import { DatabaseConnectError } from '../../src/database/database-connect-error.ts';
import { DatabaseWait, DatabaseWaitError } from '../../src/database/database-wait.ts';
import type { Database } from '../../src/database/database.ts';
import { startDatabase } from '../../src/database/start-database.ts';
import { matchStoreIdentity } from '../../src/storage/store-identity.ts';
import { TaskLedger } from '../../src/tasks/ledger/task-ledger.ts';
import { ProcessRegistry } from '../../src/tasks/upkeep/process-registry.ts';
import { administer } from '../support/database-cluster.ts';
import { DatabaseProxy, type Fate } from '../support/database-proxy.ts';
import { createEmptyDatabase } from '../support/test-database.ts';

type Defer = TestContext['onTestFinished'];

/** A database without a schema, behind a network of its own. */
async function emptyDatabase(defer: Defer): Promise<{ url: string; proxy: DatabaseProxy }> {
  const { url, drop } = await createEmptyDatabase();
  defer(drop);
  return { url, proxy: await DatabaseProxy.open(url, defer) };
}

interface Start {
  readonly log: { readonly level: number; readonly msg: string }[];
  readonly wait: DatabaseWait;
  /** All that a start does with the database. */
  run(): Promise<Database>;
}

/** The start of a service, as far as it needs the database. */
async function startOn(
  url: string,
  defer: Defer,
  options: { patienceMs?: number; signal?: AbortSignal } = {},
): Promise<Start> {
  const { patienceMs = 60_000, signal = new AbortController().signal } = options;
  const folder = await mkdtemp(join(tmpdir(), 'darkroom-start-'));
  const stops: (() => Promise<void>)[] = [];
  defer(async () => {
    for (const stop of stops.toReversed()) {
      await stop();
    }
    await rm(folder, { recursive: true });
  });
  const log: Start['log'] = [];
  const logger = pino({ level: 'info' }, { write: (line: string) => log.push(JSON.parse(line)) });
  const wait = new DatabaseWait({ patienceMs, logger, fields: {}, signal });
  return {
    log,
    wait,
    async run() {
      const { database } = await startDatabase({
        databaseUrl: url,
        dataDir: folder,
        poolSize: 4,
        silenceMs: 300,
        wait,
        logger,
        onWarning: () => {},
        onStop: (_, stop) => stops.push(stop),
      });
      await wait.untilDone(database, () => matchStoreIdentity(database, folder));
      const ledger = new TaskLedger(database);
      const registry = new ProcessRegistry({
        database,
        ledger,
        logger,
        onOrphanedFinish: () => {},
      });
      stops.push(() => registry.stop());
      await wait.untilDone(database, () => registry.start());
      return database;
    },
  };
}

/** What a start sends to PostgreSQL, in this order. */
const steps = {
  'its first statement': 'select 1',
  'the lock of the migrations': 'pg_advisory_xact_lock',
  'the list of migrations': 'mikro_orm_migrations',
  'the first migration': 'create table images',
  'the commit of the migrations': 'commit',
  'the lock of the store': 'lock table blob_stores',
  'the identity of the store': 'insert into blob_stores',
  'the first sign of life': 'insert into processes',
  'the look for lost processes': 'heartbeat_time < now()',
} as const;
const fates: readonly Exclude<Fate, 'pass'>[] = [
  'cut',
  'cut the answer',
  'stall',
  'stall the answer',
];
const cases = Object.entries(steps).flatMap(([step, text]) =>
  fates.map((fate) => ({ step, text, fate })),
);

describe.concurrent('a start whose connection breaks', () => {
  test.for(cases)('at $step ($fate) goes on when it is back', async ({ text, fate }, context) => {
    const { expect, onTestFinished } = context;
    const { proxy } = await emptyDatabase(onTestFinished);
    const start = await startOn(proxy.url, onTestFinished);
    let isDue = true;
    proxy.decide = (sent) => {
      const isNow = isDue && sent.includes(text);
      isDue &&= !isNow;
      return isNow ? fate : 'pass';
    };
    const database = await start.run();
    expect(isDue).toBe(false);
    expect(await database.migrate()).toEqual([]);
    const { rows } = await database.pool.query(
      `select (select count(*)::int from processes) as processes,
              (select count(*)::int from blob_stores) as stores`,
    );
    expect(rows).toEqual([{ processes: 1, stores: 1 }]);
    expect(start.log.map(({ msg }) => msg)).toContainEqual(
      expect.stringMatching(
        /^waiting for the database, for 60 s at most: Cannot connect to Postgre/,
      ),
    );
  });
});

describe('a start whose database', () => {
  test('is away waits, tells of it, and goes on when it is there', async () => {
    const { proxy } = await emptyDatabase(onTestFinished);
    await proxy.shut();
    const start = await startOn(proxy.url, onTestFinished);
    expect(start.wait.standing).toBe('the service is starting');
    const running = start.run();
    await expect.poll(() => start.log).toHaveLength(1);
    expect(start.log[0]).toMatchObject({
      level: 40,
      msg: expect.stringMatching(
        /^waiting for the database, for 60 s at most: .*127\.0\.0\.1:\d+, database darkroom_empty_\w+ as user .*ECONNREFUSED.* Start it, or correct DATABASE_URL\.$/,
      ),
    });
    expect(start.wait.standing).toMatch(
      /^the service is starting: it has waited for its database for [\d.]+ s, and gives up after 60 s$/,
    );
    await proxy.reopen();
    const database = await running;
    expect(await database.isReachable()).toBe(true);
    expect(start.log.map(({ msg }) => msg)).toEqual([
      expect.stringMatching(/^waiting/),
      'the database is there, and the start goes on',
      'the database schema was brought up to date',
    ]);
    expect(start.wait.standing).toBe('the service is starting');
  });

  test('stays away gives up, and says for what and how long it waited', async () => {
    const { proxy } = await emptyDatabase(onTestFinished);
    await proxy.shut();
    const start = await startOn(proxy.url, onTestFinished, { patienceMs: 500 });
    const begun = performance.now();
    const failure: unknown = await start.run().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DatabaseWaitError);
    expect((failure as Error).message).toMatch(
      /^The database was waited for for 0\.5 s \(DARKROOM_DATABASE_WAIT_MS\) in vain: Cannot connect.*ECONNREFUSED/,
    );
    expect(performance.now() - begun).toBeLessThan(30_000);
  });

  test('takes connections and answers none is waited for', async () => {
    const { proxy } = await emptyDatabase(onTestFinished);
    proxy.isSilent = true;
    const start = await startOn(proxy.url, onTestFinished);
    const running = start.run();
    await expect.poll(() => start.log, { timeout: 30_000 }).toHaveLength(1);
    proxy.isSilent = false;
    expect(await (await running).isReachable()).toBe(true);
  });

  test('is closed to connections is waited for', async () => {
    const { url, proxy } = await emptyDatabase(onTestFinished);
    const name = new URL(url).pathname.slice(1);
    await administer(inject('clusterUrl'), `alter database ${name} allow_connections false`);
    const start = await startOn(proxy.url, onTestFinished);
    const running = start.run();
    await expect.poll(() => start.log).toHaveLength(1);
    await administer(inject('clusterUrl'), `alter database ${name} allow_connections true`);
    expect(await (await running).isReachable()).toBe(true);
  });
});

describe('what waiting does not mend ends a start at once', () => {
  const mistakes: Record<string, [change: (url: URL) => void, reason: RegExp]> = {
    'a wrong password': [(url) => (url.password = 'wrong'), /password authentication failed/],
    'no password': [(url) => (url.password = ''), /password/],
    'a user that does not exist': [(url) => (url.username = 'nobody'), /nobody/],
    'a database that does not exist': [(url) => (url.pathname = '/none'), /"none" does not exist/],
    'TLS where there is none': [
      (url) => url.searchParams.set('sslmode', 'verify-full'),
      /does not support SSL/,
    ],
  };

  test.for(Object.entries(mistakes))('%s', async ([, [change, reason]]) => {
    const { proxy } = await emptyDatabase(onTestFinished);
    const url = new URL(proxy.url);
    change(url);
    const start = await startOn(url.href, onTestFinished);
    const failure: unknown = await start.run().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DatabaseConnectError);
    expect((failure as Error).message).toMatch(reason);
    expect((failure as Error).message).toContain('correct DATABASE_URL');
    expect(start.log).toEqual([]);
  });
});

describe('a start that is given up', () => {
  const situations: Record<string, (proxy: DatabaseProxy) => Promise<void> | void> = {
    'while the database is away': (proxy) => proxy.shut(),
    'while the database takes no connection': (proxy) => void (proxy.isSilent = true),
    'while a statement has no answer': (proxy) => {
      proxy.decide = () => 'stall';
    },
  };

  test.for(Object.entries(situations))('%s ends soon', async ([, arrange]) => {
    const { proxy } = await emptyDatabase(onTestFinished);
    await arrange(proxy);
    const stop = new AbortController();
    const start = await startOn(proxy.url, onTestFinished, { signal: stop.signal });
    const running = start.run().then(
      () => 'started',
      () => 'given up',
    );
    setTimeout(() => stop.abort(), 200);
    const begun = performance.now();
    expect(await running).toBe('given up');
    expect(performance.now() - begun).toBeLessThan(5000);
  });
});
