import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setImmediate as nextEvent } from 'node:timers/promises';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { roomyLimits } from '../fake-server.ts';
import {
  startListener,
  type Listener,
  type ListenerOptions,
} from '../../../src/server/transport/listener.ts';

async function listen(options: Partial<ListenerOptions> = {}): Promise<Listener> {
  const listener = await startListener({
    host: '127.0.0.1',
    port: 0,
    ...roomyLimits,
    logger: pino({ level: 'silent' }),
    handler: (request, response) => {
      response.setHeader('x-version', request.httpVersion);
      response.end('hello');
    },
    ...options,
  });
  onTestFinished(() => {
    listener.destroy();
    return listener.closed;
  });
  return listener;
}

function connect(listener: Listener): net.Socket {
  const socket = net.connect(listener.port, listener.address);
  socket.on('error', () => {});
  onTestFinished(() => {
    socket.destroy();
  });
  return socket;
}

/** What a client writes arrives one byte at a time. */
function inSingleBytes(socket: net.Socket): Duplex {
  const duplex = new Duplex({
    read() {},
    write(bytes: Buffer, _encoding, callback) {
      void (async () => {
        for (const byte of bytes) {
          socket.write(Buffer.of(byte));
          await nextEvent();
        }
        callback();
      })();
    },
    final(callback) {
      socket.end(callback);
    },
  });
  socket.setNoDelay();
  socket.on('data', (bytes) => duplex.push(bytes));
  socket.on('end', () => duplex.push(null));
  return duplex;
}

function http2Client(listener: Listener, connection?: Duplex): http2.ClientHttp2Session {
  const session = http2.connect(
    `http://${listener.address}:${listener.port}`,
    connection && { createConnection: () => connection },
  );
  session.on('error', () => {});
  onTestFinished(() => session.destroy());
  return session;
}

async function get(session: http2.ClientHttp2Session): Promise<[number | undefined, string]> {
  const stream = session.request({ ':path': '/' });
  let body = '';
  stream.on('data', (bytes) => (body += String(bytes)));
  const [[headers]] = await Promise.all([once(stream, 'response'), once(stream, 'end')]);
  return [(headers as http2.IncomingHttpHeaders)[':status'] as number | undefined, body];
}

it('speaks HTTP/1.1 and HTTP/2 on one port', async () => {
  const listener = await listen();
  const response = await fetch(`http://${listener.address}:${listener.port}/`);
  expect([response.headers.get('x-version'), await response.text()]).toEqual(['1.1', 'hello']);
  expect(await get(http2Client(listener))).toEqual([200, 'hello']);
});

it('tells HTTP/2 by a preface that comes in single bytes', async () => {
  const listener = await listen();
  const session = http2Client(listener, inSingleBytes(connect(listener)));
  expect(await get(session)).toEqual([200, 'hello']);
});

it('tells HTTP/1.1 by a request that begins as the preface does, in single bytes', async () => {
  const listener = await listen();
  const duplex = inSingleBytes(connect(listener));
  duplex.write('PROPFIND / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  expect(await text(duplex)).toMatch(/^HTTP\/1.1 200 OK\r\n.*hello$/s);
});

it('answers a client of HTTP/1.1 that ends its side after the request', async () => {
  const listener = await listen();
  const socket = connect(listener);
  socket.end('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  expect(await text(socket)).toMatch(/hello$/);
});

it.each([
  ['says nothing', ''],
  ['stops in the preface', 'PRI * HT'],
  ['stops in the header of a request', 'GET / HTTP/1.1\r\nhost: a\r\n'],
])('closes a connection that %s', async (_, said) => {
  const listener = await listen({ headTimeoutMs: 50 });
  const socket = connect(listener).resume();
  socket.write(said);
  await once(socket, 'close');
});

it('answers garbage with 400', async () => {
  const listener = await listen();
  const socket = connect(listener);
  socket.write('\x16\x03\x01 what\r\n\r\n');
  expect(await text(socket)).toMatch(/^HTTP\/1.1 400/);
});

it('notices a peer of HTTP/2 that is gone without a word', async () => {
  const ended = Promise.withResolvers<void>();
  const listener = await listen({
    deadPeerIntervalMs: 30,
    handler: (_, response) => response.once('close', ended.resolve),
  });
  // A client that waits for an answer, and never acknowledges a PING.
  const socket = connect(listener).resume();
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const settings = '000000' + '04' + '00' + '00000000';
  const headers = '000006' + '01' + '05' + '00000001' + '828684410161';
  socket.write(Buffer.from(settings + headers, 'hex'));
  await ended.promise;
  await once(socket, 'close');
});

it('keeps a peer of HTTP/2 that answers', async () => {
  const listener = await listen({ deadPeerIntervalMs: 100 });
  const session = http2Client(listener);
  let pings = 0;
  await new Promise<void>((resolve) => {
    session.on('ping', () => {
      pings += 1;
      if (pings === 4) {
        resolve();
      }
    });
  });
  expect(await get(session)).toEqual([200, 'hello']);
});

it('says which port is in use and what to do', async () => {
  const { port } = await listen();
  await expect(listen({ port })).rejects.toThrow(
    `cannot listen on 127.0.0.1 port ${port}: another process has the port`,
  );
});

it('says that the host is not one of this machine', async () => {
  await expect(listen({ host: '192.0.2.1' })).rejects.toThrow('not an address of this machine');
});

it('lets running requests end after a drain, and closes', async () => {
  const responses: (() => void)[] = [];
  const listener = await listen({
    handler: (_, response) => {
      responses.push(() => response.end('late'));
    },
  });
  const session = http2Client(listener);
  const goaway = once(session, 'goaway');
  const overHttp2 = get(session);
  const agent = new http.Agent({ keepAlive: true });
  const overHttp1 = new Promise<http.IncomingMessage>((resolve) => {
    http.get({ port: listener.port, agent }, resolve);
  });
  const idleClosed = once(connect(listener).resume(), 'close');
  await expect.poll(() => responses.length).toBe(2);

  listener.drain();
  listener.drain();
  await goaway;
  await idleClosed;
  const refused = connect(listener);
  await expect(once(refused, 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  responses.forEach((respond) => respond());
  expect(await overHttp2).toEqual([200, 'late']);
  const response = await overHttp1;
  expect([response.headers.connection, await text(response)]).toEqual(['close', 'late']);
  await listener.closed;
});

it('destroys what is left', async () => {
  const listener = await listen({ handler: () => {} });
  const session = http2Client(listener);
  const stream = session.request({ ':path': '/' });
  stream.on('error', () => {});
  const request = http.get({ port: listener.port });
  const broken = once(request, 'error');
  await expect.poll(() => request.socket?.bytesWritten ?? 0).toBeGreaterThan(0);
  listener.destroy();
  await listener.closed;
  await broken;
});

it('answers a client of HTTP/1.1 that ended its side after the request, also when that takes a while', async () => {
  const asked = Promise.withResolvers<{ socket: net.Socket; response: http.ServerResponse }>();
  const listener = await listen({
    handler: ({ socket }, response) =>
      asked.resolve({ socket, response: response as http.ServerResponse }),
  });
  const client = connect(listener);
  client.end('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  const { socket, response } = await asked.promise;
  if (!socket.readableEnded) {
    await once(socket, 'end');
  }
  response.end('late');
  expect(await text(client)).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*late/);
});
