import * as net from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { sendJson, type HttpRoute } from '../../../src/server/http/http-endpoints.ts';
import { startFakeServer } from '../fake-server.ts';

const routes: readonly HttpRoute[] = [
  {
    method: 'GET',
    path: '/v2/tasks/:taskId',
    handle({ response, params, query, context }) {
      sendJson(response, 200, {
        taskId: params['taskId'],
        full: query.get('full'),
        caller: context.caller.projectId,
      });
    },
  },
  {
    method: 'GET',
    path: '/fails/:how',
    async handle({ params }) {
      throw params['how'] === 'known'
        ? new DarkroomError('DATABASE_UNAVAILABLE', 'not now', { retryDelayMs: 3000 })
        : new TypeError('secret');
    },
  },
];

async function get(url: string, init?: RequestInit): Promise<[number, unknown]> {
  const response = await fetch(url, init);
  expect(response.headers.get('x-request-id')).not.toBeNull();
  const body = await response.text();
  return [response.status, body.startsWith('{') ? JSON.parse(body) : body];
}

it('says that it lives', async () => {
  const { url } = await startFakeServer();
  expect(await get(`${url}/healthz`)).toEqual([200, 'ok']);
  expect(await get(`${url}/healthz`, { method: 'HEAD' })).toEqual([200, '']);
});

it('says whether it is ready, and why not', async () => {
  let reason: string | undefined;
  const { url } = await startFakeServer({
    health: {
      status: () => (reason === undefined ? 'SERVING' : 'NOT_SERVING'),
      reason: () => reason,
      onChange: () => () => {},
    },
  });
  expect(await get(`${url}/readyz`)).toEqual([200, { status: 'SERVING' }]);
  reason = 'DATABASE_UNAVAILABLE';
  expect(await get(`${url}/readyz`)).toEqual([503, { status: 'NOT_SERVING', reason }]);
});

it('finds routes by method and path', async () => {
  const { url } = await startFakeServer({ httpRoutes: routes });
  expect(await get(`${url}/v2/tasks/a%20b?full=1`)).toEqual([
    200,
    { taskId: 'a b', full: '1', caller: 'default' },
  ]);
  expect(await get(`${url}/v2/tasks/%zz`)).toEqual([
    200,
    { taskId: '%zz', full: null, caller: 'default' },
  ]);
  for (const path of ['/', '/v2/tasks', '/v2/tasks/', '/v2/tasks/a/b', '/v2/tasks/a/', '//x']) {
    expect(await get(url + path)).toEqual([404, { message: `there is nothing at ${path}` }]);
  }
  const wrong = await fetch(`${url}/v2/tasks/a`, { method: 'DELETE' });
  expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET']);
});

it('answers what a route throws by the rules of RPCs', async () => {
  const server = await startFakeServer({ httpRoutes: routes });
  const known = await fetch(`${server.url}/fails/known`);
  expect([known.status, known.headers.get('retry-after'), await known.json()]).toEqual([
    503,
    '3',
    { code: 'UNAVAILABLE', reason: 'DATABASE_UNAVAILABLE', message: 'not now' },
  ]);
  const [status, body] = await get(`${server.url}/fails/somehow`, {
    headers: { 'x-request-id': 'r9' },
  });
  expect(status).toBe(500);
  expect(body).toMatchObject({ code: 'INTERNAL', reason: 'INTERNAL' });
  expect(JSON.stringify(body)).toMatch(/r9/);
  expect(JSON.stringify(body)).not.toMatch(/secret/);
  await expect
    .poll(() => server.accessLine('GET /fails/somehow'))
    .toMatchObject({ level: 50, err: { message: expect.stringContaining('secret') as unknown } });
});

it.each([
  ['an absolute URL that is none', 'GET http://[nonsense/?a=%zz HTTP/1.1\r\nhost: localhost\r\n'],
  ['a host that is none', 'GET /healthz HTTP/1.1\r\nhost: [ not a host\r\n'],
  ['no host', 'GET /healthz HTTP/1.0\r\n'],
  ['an asterisk', 'OPTIONS * HTTP/1.1\r\nhost: localhost\r\n'],
  [
    'an RPC without a host and with a query that cannot be decoded',
    'GET /darkroom.v1.ImageService/GetImage?connect=v1&encoding=json&message=%zz HTTP/1.0\r\n',
  ],
])('answers a request with %s', async (_, head) => {
  const server = await startFakeServer();
  const socket = net.connect(server.port);
  socket.end(`${head}connection: close\r\n\r\n`);
  expect(await text(socket)).toMatch(/^HTTP\/1\.1 [245]/);
  expect(server.log.filter(({ level }) => level === 50)).toEqual([]);
});
