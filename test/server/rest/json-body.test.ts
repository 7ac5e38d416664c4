import * as net from 'node:net';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { beforeEach, expect, test } from 'vitest';
import { sendJson } from '../../../src/server/http/http-endpoints.ts';
import { jsonBody } from '../../../src/server/rest/json-body.ts';
import { routesOf } from '../../../src/server/rest/place.ts';
import { startFakeServer, type FakeServer } from '../fake-server.ts';

const pace = { idleTimeoutMs: 200, minRate: 0 };
/** What the handler was given; nothing where the body was refused. */
let given: unknown[];
let server: FakeServer;

beforeEach(async () => {
  given = [];
  server = await startFakeServer({
    httpRoutes: routesOf([
      {
        path: '/v2/echo',
        methods: {
          async POST(call) {
            const value = await jsonBody(call, pace);
            given.push(value);
            sendJson(call.response, 200, value);
          },
        },
      },
    ]),
  });
});

async function post(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string>,
): Promise<[number, unknown]> {
  const response = await fetch(`${server.url}/v2/echo`, { method: 'POST', body, headers });
  return [response.status, await response.json()];
}

test.each([
  ['application/json', {}],
  ['Application/JSON; charset=utf-8', {}],
  ['', {}],
])('JSON sent as %j is read', async (type) => {
  const headers = type === '' ? {} : { 'content-type': type };
  const body = new TextEncoder().encode('{"name":"dísk 💿"}');
  expect(await post(body, headers)).toEqual([200, { name: 'dísk 💿' }]);
});

test.each<
  [string, string | Uint8Array<ArrayBuffer>, Record<string, string>, number, string, string]
>([
  [
    'a form',
    'a=1',
    { 'content-type': 'application/x-www-form-urlencoded' },
    415,
    'UNSUPPORTED',
    'The content type "application/x-www-form-urlencoded" is not taken here; send application/json.',
  ],
  [
    'what is compressed',
    new Uint8Array(gzipSync('{}')),
    { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    415,
    'UNSUPPORTED',
    'The content encoding "gzip" is not taken here; send the body as it is.',
  ],
  [
    'nothing',
    '',
    { 'content-type': 'application/json' },
    400,
    'FIELD_INVALID',
    'body must not be empty: JSON is expected',
  ],
  [
    'no UTF-8',
    new Uint8Array([0x22, 0xc3, 0x28, 0x22]),
    { 'content-type': 'application/json' },
    400,
    'FIELD_INVALID',
    'body must be UTF-8, and has bytes that are none',
  ],
  [
    'more than any request needs',
    `"${'x'.repeat(3 * 1024 * 1024)}"`,
    { 'content-type': 'application/json' },
    413,
    'MESSAGE_TOO_LARGE',
    'The body has more than 2097152 bytes, which is more than any request needs.',
  ],
])('%s is refused in words', async (_, body, headers, status, reason, message) => {
  const [answered, answer] = await post(body, headers);
  expect(answered).toBe(status);
  expect(answer).toMatchObject({ error: { code: status, message, reason } });
  expect(given).toEqual([]);
});

test('a body that stops coming is not waited for, and one that is cut is not taken', async () => {
  const head = 'POST /v2/echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n';
  const silent = net.connect(server.port);
  silent.write(`${head}content-length: 20\r\n\r\n{"name":`);
  expect(await text(silent)).toMatch(/^HTTP\/1\.1 504 [^]*STREAM_IDLE/);
  const cut = net.connect(server.port);
  cut.end(`${head}content-length: 20\r\n\r\n{"name":"a"}`);
  await expect
    .poll(() => server.log.filter(({ method }) => method === 'POST /v2/echo').length)
    .toBe(2);
  expect(given).toEqual([]);
});

test('what is no method of a place is refused with those that are, and what is no place is not there', async () => {
  const refused = await fetch(`${server.url}/v2/echo`, { method: 'PUT' });
  expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'POST']);
  expect(await refused.json()).toMatchObject({
    error: { message: 'PUT is not taken here, but POST.' },
  });
  expect((await fetch(`${server.url}/v2/elsewhere`, { method: 'PUT' })).status).toBe(404);
});
