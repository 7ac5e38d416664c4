import * as http2 from 'node:http2';
import * as net from 'node:net';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { transportOf, transports } from '../fake-server.ts';
import {
  ask,
  expectDone,
  expectRefusals,
  startCounting,
  type Answer,
  type CountingServer,
} from './callers.ts';

function overHttp1(server: CountingServer, host: string, path: string): Promise<Answer> {
  return ask(server, path, { host });
}

async function overHttp2(
  server: CountingServer,
  host: http2.OutgoingHttpHeaders,
  path: string,
): Promise<Answer> {
  const session = http2.connect(server.url);
  onTestFinished(() => session.destroy());
  const stream = session.request({ ':path': path, ...host });
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  return { status: Number(headers[':status']), headers, body: await text(stream) };
}

const refusal = { code: 'PermissionDenied', reason: 'HOST_NOT_ALLOWED' } as const;

describe('a name that is not one of the service', () => {
  it.each(transports)('is refused in $protocol over HTTP/$httpVersion', async (kind) => {
    const server = await startCounting({});
    const transport = transportOf(`http://rebound.example:${server.port}`, kind);
    await expectRefusals(server, transport, {
      ...refusal,
      message:
        `the service is not known by the name "rebound.example:${server.port}": call it by its IP address, or have ` +
        'its operator add the name to DARKROOM_HOSTS',
    });
  });

  it('is refused by places of plain HTTP, known or not', async () => {
    const server = await startCounting({});
    for (const path of ['/healthz', '/readyz', '/v2/things', '/nothing']) {
      for (const answer of [
        await overHttp1(server, 'rebound.example', path),
        await overHttp2(server, { ':authority': 'rebound.example' }, path),
      ]) {
        expect(answer.status).toBe(403);
        expect(JSON.parse(answer.body)).toMatchObject({
          code: 'PERMISSION_DENIED',
          reason: 'HOST_NOT_ALLOWED',
        });
      }
    }
    expect(server.done()).toBe(0);
  });

  it.each([
    'localhost.evil.example',
    'evil-localhost',
    '127.0.0.1.nip.io',
    'user@127.0.0.1',
    '127.0.0.1/evil.example',
    'evil.example#127.0.0.1',
    '127.0.0.1:80:80',
    '[::1',
    '%',
    'darkroom.example.com.evil.example',
    'notdarkroom.example.com',
    'below.example.org.evil.example',
    'example.org',
  ])('may look like one: %s', async (host) => {
    const server = await startCounting({ hosts: ['darkroom.example.com', '*.example.org'] });
    expect((await overHttp1(server, host, '/v2/things')).status).toBe(403);
    expect(server.done()).toBe(0);
  });

  it('is not hidden by a good one beside it', async () => {
    const server = await startCounting({});
    for (const names of [
      { ':authority': 'localhost', host: 'rebound.example' },
      { ':authority': 'rebound.example', host: 'localhost' },
    ]) {
      expect((await overHttp2(server, names, '/v2/things')).status).toBe(403);
    }
    expect(server.done()).toBe(0);
  });
});

describe('the service can be called', () => {
  it.each([
    'localhost',
    'LOCALHOST:8080',
    'localhost.',
    'console.localhost:3000',
    '127.0.0.1:8080',
    '[::1]:8080',
    '192.0.2.7',
    '[2001:db8::7]:443',
    'darkroom.example.com',
    'Darkroom.Example.com.:8443',
    'a.b.example.org',
    'darkroom.internal:8080',
  ])('as %s', async (name) => {
    const hosts = ['darkroom.example.com', '*.example.org', 'darkroom.internal'];
    const server = await startCounting({ hosts });
    expect(await overHttp1(server, name, '/v2/things')).toMatchObject({
      status: 200,
      body: 'things',
    });
    const named = { ':authority': name };
    expect((await overHttp2(server, named, '/v2/things')).status).toBe(200);
  });

  it('by the name that is listened on', async () => {
    const server = await startCounting({ host: 'localhost' });
    expect((await overHttp1(server, 'localhost', '/healthz')).status).toBe(200);
  });

  it('without any name, which no browser does', async () => {
    const server = await startCounting({});
    const socket = net.connect(server.port, '127.0.0.1');
    socket.end('GET /v2/things HTTP/1.0\r\n\r\n');
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 200[\s\S]*things$/);
  });

  it.each(transports)('by its names in $protocol over HTTP/$httpVersion', async (kind) => {
    const server = await startCounting({ hosts: ['darkroom.example.com'] });
    const url = `http://darkroom.example.com:${server.port}`;
    await expectDone(server, transportOf(url, kind));
  });

  it('by any name, where it is said so', async () => {
    const server = await startCounting({ hosts: ['*'] });
    for (const host of ['rebound.example', 'no name at all']) {
      expect((await overHttp1(server, host, '/v2/things')).status).toBe(200);
    }
  });
});
