import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { describe, expect, inject, onTestFinished, test, type TestContext } from 'vitest';
import { isDatabaseAway } from '../../src/database/database-away.ts';
import { Database } from '../../src/database/database.ts';
import { administer } from '../support/database-cluster.ts';
import { DatabaseProxy, type Fate } from '../support/database-proxy.ts';
import { patience } from '../support/held-upload.ts';
import { createTestDatabase } from '../support/test-database.ts';

const connections = 3;
/** One of them is for what is read for callers. */
const poolSize = connections + 1;
const silenceMs = 300;

/** A database behind a network of its own. */
async function behindProxy(
  defer: TestContext['onTestFinished'] = onTestFinished,
): Promise<{ database: Database; proxy: DatabaseProxy; url: string }> {
  const own = await createTestDatabase();
  const proxy = await DatabaseProxy.open(own.url, defer);
  const database = await Database.connect({
    url: proxy.url,
    poolSize,
    silenceMs,
    onWarning: () => {},
  });
  defer(async () => {
    await database.close();
    await own.drop();
  });
  return { database, proxy, url: own.url };
}

/** Work in a transaction of MikroORM, in one of our own, and without any. */
const kinds: Record<string, (database: Database, statement: string) => Promise<unknown>> = {
  'a transaction': (database, statement) =>
    database.fork().transactional((em) => em.execute(statement)),
  'a connection that is held': async (database, statement) => {
    const client = await database.pool.connect();
    try {
      await client.query('begin');
      await client.query(statement);
      await client.query('commit');
    } finally {
      client.release();
    }
  },
  'a statement alone': (database, statement) => database.pool.query(statement),
  'a statement with parameters': (database, statement) =>
    database.pool.query({ name: 'asked', text: `${statement} where $1`, values: [true] }),
  'a statement that reads for a caller': (database, statement) =>
    database.runForProjects({
      name: `read ${statement}`,
      text: `${statement} where $1`,
      values: [true],
    }),
};

/** By what a connection is to break, as it is sent. */
const moments: Record<string, (kind: string) => string | undefined> = {
  'at its begin': (kind) => (kind.startsWith('a statement') ? undefined : 'begin'),
  'at its statement': () => 'mark_of_the_test',
  'at its commit': (kind) => (kind.startsWith('a statement') ? undefined : 'commit'),
};

const fates: readonly Exclude<Fate, 'pass'>[] = [
  'cut',
  'cut the answer',
  'stall',
  'stall the answer',
];

const cases = Object.keys(kinds).flatMap((kind) =>
  Object.entries(moments).flatMap(([moment, textOf]) => {
    const text = textOf(kind);
    return text === undefined ? [] : fates.map((fate) => ({ kind, moment, text, fate }));
  }),
);

test.concurrent.for(cases)(
  '$kind whose connection breaks $moment ($fate) rejects, and gives its place in the pool back',
  async ({ kind, text, fate }, { expect, onTestFinished }) => {
    const { database, proxy } = await behindProxy(onTestFinished);
    const work = kinds[kind]!;
    // More often than the pool has places.
    for (let time = 0; time <= connections; time++) {
      let isDue = true;
      proxy.decide = (sent) => {
        const isNow = isDue && sent.includes(text);
        isDue &&= !isNow;
        return isNow ? fate : 'pass';
      };
      const error: unknown = await work(database, "select 'mark_of_the_test'").catch(
        (error) => error,
      );
      expect(isDue).toBe(false);
      expect(isDatabaseAway(error), String(error)).toBe(true);
    }
    proxy.decide = () => 'pass';
    await Promise.all(
      Array.from({ length: connections }, () => work(database, 'select pg_sleep(0.01)')),
    );
    await expect.poll(() => database.pool.totalCount).toBeLessThanOrEqual(connections);
    await database.close();
    await expect.poll(() => proxy.size, patience).toBe(0);
  },
);

test.concurrent.for(fates)(
  'a connection that breaks before it is the role that reads for callers (%s) is nobody’s',
  async (fate, { expect, onTestFinished }) => {
    const { database, proxy } = await behindProxy(onTestFinished);
    let isDue = true;
    proxy.decide = (sent) => {
      const isNow = isDue && sent.includes('set role');
      isDue &&= !isNow;
      return isNow ? fate : 'pass';
    };
    const who = { name: 'who', text: 'select current_user as name' };
    const failed: unknown = await database.runForProjects(who).catch((error: unknown) => error);
    expect(isDue).toBe(false);
    expect(isDatabaseAway(failed), String(failed)).toBe(true);
    expect((await database.runForProjects(who)).rows).toEqual([{ name: 'darkroom_tenant' }]);
    await database.close();
    await expect.poll(() => proxy.size, patience).toBe(0);
  },
);

test('a session that is ended by the server gives its place back as well', async () => {
  const { database } = await behindProxy();
  for (let time = 0; time <= connections; time++) {
    const work = database.fork().transactional(async (em) => {
      const [{ pid }] = await em.execute<[{ pid: number }]>('select pg_backend_pid() as pid');
      await administer(inject('clusterUrl'), `select pg_terminate_backend(${pid})`);
      await em.execute('select 1');
    });
    expect(isDatabaseAway(await work.catch((error: unknown) => error))).toBe(true);
  }
  expect(await database.isReachable()).toBe(true);
  expect(database.pool.totalCount).toBe(1);
});

describe('a statement that takes long', () => {
  test('is waited for, while the server says that it is at work', async () => {
    const { database } = await behindProxy();
    await database.pool.query(`select pg_sleep(${(silenceMs * 5) / 1000})`);
  });

  test('is waited for, while another holds the lock that it needs', async () => {
    const { database, url } = await behindProxy();
    const holder = new pg.Client({ connectionString: url });
    await holder.connect();
    await holder.query('select pg_advisory_lock(1)');
    const waiting = database
      .fork()
      .transactional((em) => em.execute('select pg_advisory_xact_lock(1)'));
    await sleep(silenceMs * 5);
    await holder.end();
    await waiting;
  });

  test('is not waited for when the server cannot be asked', async () => {
    const { database, proxy } = await behindProxy();
    const statement = database.pool.query('select pg_sleep(60)');
    statement.catch(() => {});
    proxy.isSilent = true;
    await expect(statement).rejects.toThrow('PostgreSQL has not answered on it for 0 s');
  });

  test('is not waited for when its answer does not arrive', async () => {
    const { database, proxy } = await behindProxy();
    let isStalled = false;
    proxy.decide = (sent) => {
      isStalled ||= sent.includes('repeat');
      return isStalled ? 'stall the answer' : 'pass';
    };
    await expect(
      database.pool.query(`select repeat('x', 1000000) from generate_series(1, 100)`),
    ).rejects.toThrow('PostgreSQL has not answered');
  });
});

describe('closing', () => {
  test('does not wait for a server that has vanished', async () => {
    const { database, proxy } = await behindProxy();
    let begun = 0;
    const allHaveBegun = Promise.withResolvers<void>();
    const statements = [1, 2].map((_, __, { length }) =>
      database.fork().transactional(async (em) => {
        await em.execute('select 1');
        begun += 1;
        if (begun === length) {
          proxy.isSilent = true;
          proxy.stall();
          allHaveBegun.resolve();
        }
        await allHaveBegun.promise;
        await em.execute('select 2');
      }),
    );
    await allHaveBegun.promise;
    const ends = Promise.allSettled(statements);
    await database.close();
    expect(await ends).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }]);
    await expect.poll(() => proxy.size, patience).toBe(0);
  });

  test('does not wait for a connection that is never taken', async () => {
    const { database, proxy } = await behindProxy();
    proxy.isSilent = true;
    const statements = Array.from({ length: connections }, () => database.pool.query('select 1'));
    const ends = Promise.allSettled(statements);
    const begun = performance.now();
    await database.close();
    expect(performance.now() - begun).toBeLessThan(9000);
    // One takes the connection that there was.
    expect((await ends).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected']);
  });

  test('lets those have their turn who wait for a connection', async () => {
    const { database } = await behindProxy();
    const statements = Array.from({ length: connections * 3 }, (_, n) =>
      database.pool.query('select $1::int as n', [n]),
    );
    await database.close();
    const answers = await Promise.all(statements);
    expect(answers.flatMap(({ rows }) => rows)).toEqual(statements.map((_, n) => ({ n })));
  });
});
