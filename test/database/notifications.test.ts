import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { Notifications } from '../../src/database/notifications.ts';
import { useOpenDatabase } from '../support/test-database.ts';

const opened = useOpenDatabase();

interface Heard {
  readonly payloads: string[];
  listening: number;
  readonly warnings: string[];
}

function listen(url: string, checkIntervalMs: number): Heard {
  const heard: Heard = { payloads: [], listening: 0, warnings: [] };
  const notifications = new Notifications({
    url,
    channel: 'a "channel"',
    checkIntervalMs,
    onWarning: (message) => heard.warnings.push(message),
    listener: {
      onNotification: (payload) => heard.payloads.push(payload),
      onListening: () => {
        heard.listening += 1;
      },
    },
  });
  notifications.start();
  onTestFinished(() => notifications.close());
  return heard;
}

async function notify(payload: string): Promise<void> {
  await opened().database.pool.query('select pg_notify($1, $2)', ['a "channel"', payload]);
}

test('notifications arrive, also after the connection was cut', async () => {
  const heard = listen(opened().url, 10_000);
  await expect.poll(() => heard.listening, { timeout: 5000 }).toBe(1);
  await notify('one');
  await expect.poll(() => heard.payloads, { timeout: 5000 }).toEqual(['one']);
  await opened().database.pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'darkroom listen'`,
  );
  await expect.poll(() => heard.listening, { timeout: 5000 }).toBe(2);
  await notify('two');
  await expect.poll(() => heard.payloads, { timeout: 5000 }).toEqual(['one', 'two']);
  expect(heard.warnings).toMatchObject([expect.stringContaining('terminating connection')]);
});

test('a server that is not there yet is waited for, and closing does not wait for it', async () => {
  const url = new URL(opened().url);
  url.port = '1';
  const heard = listen(url.href, 10_000);
  await delay(500);
  // Tried more than once, and told once.
  expect(heard).toMatchObject({
    listening: 0,
    warnings: [expect.stringContaining('Not listening')],
  });
});

test('a connection whose other end went silent is replaced', async () => {
  const proxy = await startProxy(opened().url);
  const heard = listen(proxy.url, 200);
  await expect.poll(() => heard.listening, { timeout: 5000 }).toBe(1);
  proxy.freeze();
  await delay(10);
  await notify('lost');
  await expect.poll(() => heard.listening, { timeout: 10_000 }).toBe(2);
  await notify('heard');
  await expect.poll(() => heard.payloads, { timeout: 5000 }).toEqual(['heard']);
});

/** Stands between a client and PostgreSQL, and can keep connections open without passing anything on. */
async function startProxy(target: string): Promise<{ url: string; freeze(): void }> {
  const { hostname, port } = new URL(target);
  const host = decodeURIComponent(hostname);
  const sockets: Socket[] = [];
  const server = createServer((client) => {
    const upstream = host.startsWith('/')
      ? connect(`${host}/.s.PGSQL.${port || 5432}`)
      : connect(Number(port), host);
    sockets.push(client, upstream);
    client.pipe(upstream).pipe(client);
    client.on('error', () => {});
    upstream.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    sockets.forEach((socket) => socket.destroy());
    server.close();
  });
  const url = new URL(target);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    freeze: () => {
      for (const socket of sockets) {
        socket.unpipe();
        socket.pause();
      }
    },
  };
}
