import * as http2 from 'node:http2';
import { once } from 'node:events';
import { expect, it, onTestFinished } from 'vitest';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import { sendJson, type HttpRoute } from '../../src/server/http-endpoints.ts';
import { startFakeServer } from './fake-server.ts';

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

it('answers requests that no client should send', async () => {
  const { url } = await startFakeServer();
  const session = http2.connect(url);
  onTestFinished(() => session.destroy());
  for (const headers of [
    { ':method': 'POST', ':path': '/x', ':authority': 'not an authority [' },
    { ':method': 'OPTIONS', ':path': '*' },
    { ':method': 'GET', ':path': 'http://[nonsense/?a=%zz' },
    {
      ':method': 'GET',
      ':path': '/darkroom.v1.ImageService/GetImage?connect=v1&encoding=json&message=%zz',
      ':authority': '[',
    },
  ]) {
    const stream = session.request(headers, { endStream: true }).resume();
    const [answer] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    expect(answer[':status']).toBeGreaterThanOrEqual(400);
  }
});
