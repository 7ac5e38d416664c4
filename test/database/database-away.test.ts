import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import pg from 'pg';
import { expect, inject, onTestFinished, test } from 'vitest';
import { isDatabaseAway } from '../../src/database/database-away.ts';
import { Database } from '../../src/database/database.ts';
import { administer } from '../support/database-cluster.ts';
import { createTestDatabase } from '../support/test-database.ts';

async function ownDatabase(): Promise<{
  database: Database;
  url: string;
  drop: () => Promise<void>;
}> {
  const { url, drop } = await createTestDatabase();
  const database = await Database.connect({ url, poolSize: 2, onWarning: () => {} });
  onTestFinished(async () => {
    await database.close();
    await drop();
  });
  return { database, url, drop };
}

/** What a promise is rejected with. */
async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.unreachable('it was to fail'),
    (error: unknown) => error,
  );
}

/** Takes connections and never says a word. */
async function silentServer(): Promise<string> {
  const sockets = new Set<{ destroy: () => void }>();
  const server: Server = createServer((socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) {
      socket.destroy();
    }
  });
  const address = server.address();
  return `postgresql://nobody@127.0.0.1:${typeof address === 'object' ? address?.port : 0}/none`;
}

test('a database that does not answer a statement in its time is away', async () => {
  const { database } = await ownDatabase();
  const statement = { name: 'slow', text: 'select pg_sleep(30)', timeoutMs: 20 };
  const error = await failureOf(database.run(statement));
  expect(isDatabaseAway(error), String(error)).toBe(true);
  expect(await database.isReachable()).toBe(true);
});

test('a database that takes a connection and says nothing is away', async () => {
  const client = new pg.Client({
    connectionString: await silentServer(),
    connectionTimeoutMillis: 20,
  });
  const error = await failureOf(client.connect());
  expect(isDatabaseAway(error), String(error)).toBe(true);
});

test('a database whose pool is closed, since the service stops, is away', async () => {
  const { database } = await ownDatabase();
  await database.close();
  const error = await failureOf(database.run({ name: 'late', text: 'select 1' }));
  expect(isDatabaseAway(error), String(error)).toBe(true);
});

test('a connection that was ended while a statement waits for it is away', async () => {
  const { url } = await ownDatabase();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.end();
  const error = await failureOf(client.query('select 1'));
  expect(isDatabaseAway(error), String(error)).toBe(true);
});

test.for(['idle_in_transaction_session_timeout', 'idle_session_timeout'] as const)(
  'a session that is over by %s is away',
  async (setting) => {
    const { url } = await ownDatabase();
    const client = new pg.Client({ connectionString: url });
    const ended = once(client, 'error');
    await client.connect();
    await client.query(`set ${setting} = '10ms'`);
    if (setting === 'idle_in_transaction_session_timeout') {
      await client.query('begin');
    }
    const [error] = (await ended) as [unknown];
    expect(isDatabaseAway(error), String(error)).toBe(true);
    await client.end().catch(() => {});
  },
);

test.for([
  ['53100', 'disk_full'],
  ['53200', 'out_of_memory'],
  ['53300', 'too_many_connections'],
] as const)('a database that says %s, %s, is away', async ([code]) => {
  const { url } = await ownDatabase();
  const work = administer(url, `do $$ begin raise exception using errcode = '${code}'; end $$`);
  expect(isDatabaseAway(await failureOf(work))).toBe(true);
});

test.for([
  ['a statement that is wrong', 'select wrong'],
  ['a division by zero', 'select 1/0'],
  ['a constraint that is broken', `do $$ begin raise exception using errcode = '23505'; end $$`],
] as const)('%s is the statement of a database that is there', async ([, statement]) => {
  const work = administer(inject('clusterUrl'), statement);
  expect(isDatabaseAway(await failureOf(work))).toBe(false);
});

test('a file that is not there is no database that is away', () => {
  const error = Object.assign(new Error('no such file'), { code: 'ENOENT', syscall: 'open' });
  expect(isDatabaseAway(error)).toBe(false);
});
