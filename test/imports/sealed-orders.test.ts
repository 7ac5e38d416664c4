import { randomBytes } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { sealOrdersAnew } from '../../src/imports/sealed-orders.ts';
import { SecretKeys } from '../../src/secrets/secret-keys.ts';
import { testSecretKeys } from '../support/secret-keys.ts';
import { connectTestDatabase } from '../support/test-database.ts';
import { readFaults, readImage, readTask } from '../support/upload-world.ts';
import { openImportWorld } from './import-world.ts';

const querySecret = 'kr4mpus-query-secret';
const headerSecret = 'p3rchta-header-secret';
const secrets = [querySecret, headerSecret];

async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk.raw?signature=${querySecret}`;
}

const orderOf = (url: string) => ({
  from: { kind: 'url', url } as const,
  headers: { Authorization: `Bearer ${headerSecret}` },
});

/** Each row of each table as text. */
async function dump(database: Database): Promise<string> {
  const { rows: tables } = await database.pool.query<{ name: string }>(
    `select table_name as name from information_schema.tables
      where table_schema = 'public' and table_type = 'BASE TABLE'`,
  );
  let all = '';
  for (const { name } of tables) {
    const { rows } = await database.pool.query<{ row: string }>(
      `select "${name}"::text as row from "${name}"`,
    );
    all += rows.map(({ row }) => `${name} ${row}\n`).join('');
  }
  return all;
}

test('what is sent to a source reaches it, and neither the database nor the log, though it is quoted back', async () => {
  const database = await connectTestDatabase();
  const met: string[] = [];
  const url = await serve((request, response) => {
    met.push(`${request.url} ${request.headers.authorization}`);
    response.writeHead(503).end(`no ${request.url} for ${request.headers.authorization}`);
  });
  const world = await openImportWorld(database);
  const { taskId } = await world.create(orderOf(url));
  await expect.poll(async () => (await readTask(database, taskId)).state).toBe('FAILED');
  const dumped = await dump(database);
  expect(dumped).toContain('import_orders');
  expect(met[0]).toContain(querySecret);
  expect(met[0]).toContain(headerSecret);
  for (const secret of secrets) {
    expect(dumped).not.toContain(secret);
    expect(world.log.join('')).not.toContain(secret);
    expect(JSON.stringify(await readFaults(database, taskId))).not.toContain(secret);
  }
});

test('an import whose key is missing fails with a fault that says so, and works again with the key', async () => {
  const database = await connectTestDatabase();
  const content = randomBytes(1000);
  const url = await serve((_, response) => void response.end(content));
  const creator = await openImportWorld(database, { isStarted: false });
  const { imageId, taskId } = await creator.create(orderOf(url));
  const stranger = await openImportWorld(database, {
    secretKeys: new SecretKeys([randomBytes(32)]),
  });
  await expect.poll(async () => (await readTask(database, taskId)).state).toBe('FAILED');
  const fault = (await readFaults(database, taskId)).at(-1)!;
  expect(fault).toMatchObject({ reason: 'SECRETS_UNREADABLE', fatal: true });
  expect(fault.message).toContain('DARKROOM_SECRETS_KEY_FILE');
  stranger.imports.claimNoMore();
  await stranger.imports.stop();
  const world = await openImportWorld(database);
  await world.retry(taskId);
  await expect.poll(async () => (await readImage(database, imageId)).state).toBe('ACTIVE');
});

test('what an earlier version wrote, or another key has sealed, is sealed by the first key, and can be fetched', async () => {
  const database = await connectTestDatabase();
  const url = await serve((_, response) => void response.end('content'));
  const creator = await openImportWorld(database, { isStarted: false });
  const plain = await creator.create(orderOf(url));
  const sealed = await creator.create(orderOf(url));
  await database.pool.query(
    'update import_orders set url = $1, headers = $2, sealed = null where image_id = $3',
    [url, { Authorization: `Bearer ${headerSecret}` }, plain.imageId],
  );
  expect(await dump(database)).toContain(querySecret);
  const first = randomBytes(32);
  const keys = new SecretKeys([first, Buffer.alloc(32, 7)]);
  expect(keys.open(testSecretKeys.seal('text', 'x'), 'x')).toBe('text');
  expect(await sealOrdersAnew(database, keys)).toBe(2);
  expect(await sealOrdersAnew(database, keys)).toBe(0);
  const dumped = await dump(database);
  secrets.forEach((secret) => expect(dumped).not.toContain(secret));
  await openImportWorld(database, { secretKeys: new SecretKeys([first]) });
  for (const { imageId } of [plain, sealed]) {
    await expect.poll(async () => (await readImage(database, imageId)).state).toBe('ACTIVE');
  }
});
