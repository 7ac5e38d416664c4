import * as http2 from 'node:http2';
import * as net from 'node:net';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import * as grpc from '@grpc/grpc-js';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  startListener,
  type Listener,
  type ListenerOptions,
} from '../../../src/server/transport/listener.ts';
import { frame, frameTypes, magic, openRaw } from '../../../bench/wire/http2-frames.ts';
import { roomyLimits } from '../fake-server.ts';

const { NGHTTP2_NO_ERROR, NGHTTP2_SETTINGS_TIMEOUT } = http2.constants;

interface TestListener extends Listener {
  readonly log: string[];
  /** Answers the requests that are open; how many there were. */
  answer(): number;
  /** How many requests are open. */
  open(): number;
}

/** Requests to `/open` stay so until they are answered. */
async function listen(options: Partial<ListenerOptions> = {}): Promise<TestListener> {
  const open = new Set<() => void>();
  const log: string[] = [];
  const listener = await startListener({
    ...roomyLimits,
    host: '0.0.0.0',
    port: 0,
    logger: pino({ level: 'info' }, { write: (line: string) => log.push(line) }),
    handler(request, response) {
      const answer = (): void => {
        open.delete(answer);
        response.end('hello');
      };
      if (request.url === '/open') {
        open.add(answer);
        response.once('close', () => open.delete(answer));
      } else {
        answer();
      }
    },
    ...options,
  });
  onTestFinished(() => {
    listener.destroy();
    return listener.closed;
  });
  return {
    ...listener,
    log,
    open: () => open.size,
    answer() {
      const all = [...open];
      all.forEach((answer) => answer());
      return all.length;
    },
  };
}

/** @param from all of 127.0.0.0/8 are addresses of this machine. */
function connect(listener: Listener, from = '127.0.0.1'): net.Socket {
  const socket = net.connect({ port: listener.port, host: '127.0.0.1', localAddress: from });
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  return socket;
}

/** Connects over HTTP/2, with nothing to ask for. */
function connectHttp2(listener: Listener, from = '127.0.0.1'): http2.ClientHttp2Session {
  const session = http2.connect('http://localhost', {
    createConnection: () => connect(listener, from),
  });
  session.on('error', () => {});
  onTestFinished(() => session.destroy());
  return session;
}

function get(session: http2.ClientHttp2Session, path = '/'): Promise<string> {
  const stream = session.request({ ':path': path });
  return text(stream);
}

/** Asks over HTTP/1.1 on a connection of its own, which is open for as long as the request. */
async function ask(listener: Listener, path: string, from = '127.0.0.1'): Promise<string> {
  const socket = connect(listener, from);
  socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
  return await told(socket);
}

/** All that a connection brings until it is closed, in whatever way. */
async function told(socket: net.Socket): Promise<string> {
  let all = '';
  socket.on('data', (bytes) => (all += bytes.toString('latin1')));
  await closed(socket);
  return all;
}

function closed(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

const begin = Buffer.concat([magic, frame(frameTypes.settings, 0, 0)]);
const halfHead = 'GET / HTTP/1.1\r\nhost: localhost\r\n';

describe('a head that does not come', () => {
  it('is waited for so long and then answered with 408', async () => {
    const listener = await listen({ headTimeoutMs: 300 });
    const halves = Array.from({ length: 100 }, () => connect(listener));
    const answers = halves.map((socket) => {
      socket.write(halfHead);
      return told(socket);
    });
    expect(await ask(listener, '/')).toContain('hello');
    for (const answer of await Promise.all(answers)) {
      expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n[\s\S]*connection: close/i);
    }
  });

  it('may not come in drops, nor after an earlier request', async () => {
    const listener = await listen({ headTimeoutMs: 300 });
    const socket = connect(listener).resume();
    socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await once(socket, 'data');
    socket.write(halfHead);
    const drops = setInterval(() => socket.write('x-a: b\r\n'), 20);
    onTestFinished(() => clearInterval(drops));
    await closed(socket);
  });

  it.each([
    ['half a preface', magic.subarray(0, 20)],
    ['a preface without SETTINGS', magic],
    ['half a SETTINGS', begin.subarray(0, -3)],
  ])('ends a connection of HTTP/2 that sends %s', async (_, bytes) => {
    const connection = openRaw((await listen({ headTimeoutMs: 200 })).port, bytes);
    await connection.closed;
    expect(connection.goaways).toMatchObject([{ code: NGHTTP2_SETTINGS_TIMEOUT }]);
  });
});

describe('a connection without a request', () => {
  it('is closed after a while, over HTTP/1.1', async () => {
    const socket = connect(await listen({ idleTimeoutMs: 300 }));
    socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
    expect(await told(socket)).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*hello$/);
  });

  it('is closed also where line breaks come all the time', async () => {
    const listener = await listen({ idleTimeoutMs: 300, headTimeoutMs: 300 });
    const socket = connect(listener).resume();
    socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await once(socket, 'data');
    const breaks = setInterval(() => socket.write('\r\n'), 20);
    onTestFinished(() => clearInterval(breaks));
    await closed(socket);
  });

  it('is told to go, over HTTP/2', async () => {
    const connection = openRaw((await listen({ idleTimeoutMs: 200 })).port, begin);
    await connection.closed;
    expect(connection.goaways[0]?.code).toBe(NGHTTP2_NO_ERROR);
  });

  it('is told so also where its client pings all the time, and does not close itself', async () => {
    const connection = openRaw((await listen({ idleTimeoutMs: 200 })).port, begin);
    connection.socket.allowHalfOpen = true;
    const ping = frame(frameTypes.ping, 0, 0, Buffer.alloc(8));
    const pings = setInterval(() => connection.socket.write(ping), 20);
    onTestFinished(() => clearInterval(pings));
    await connection.closed;
    expect(connection.goaways[0]?.code).toBe(NGHTTP2_NO_ERROR);
  });

  it('is one only when its last request has ended', async () => {
    const listener = await listen({ idleTimeoutMs: 100 });
    const session = connectHttp2(listener);
    const answers = [get(session, '/open'), get(session, '/open')];
    const overHttp1 = ask(listener, '/open');
    await expect.poll(() => listener.open()).toBe(3);
    // Another one, that comes later and is quiet, goes first.
    await openRaw(listener.port, begin).closed;
    await openRaw(listener.port, begin).closed;
    expect([session.closed, listener.open()]).toEqual([false, 3]);
    const goaway = once(session, 'goaway');
    listener.answer();
    expect(await Promise.all(answers)).toEqual(['hello', 'hello']);
    expect(await overHttp1).toContain('hello');
    expect((await goaway)[0]).toBe(NGHTTP2_NO_ERROR);
  });
});

describe('one connection more than there may be', () => {
  const limits = { maxConnectionsPerPeer: 3, maxConnections: 4 };

  /** A listener whose places of one peer, or all, are taken by requests. */
  async function crowded(from: readonly string[]): Promise<TestListener> {
    const listener = await listen(limits);
    for (const [index, address] of from.entries()) {
      void ask(listener, '/open', address);
      await expect.poll(() => listener.open()).toBe(index + 1);
    }
    return listener;
  }

  const [us, them] = ['127.0.0.1', '127.0.0.2'];

  it.each([
    ['of one address', [us, us, us], 'DARKROOM_MAX_CONNECTIONS_PER_PEER'],
    ['in all', [us, us, them, them], 'DARKROOM_MAX_CONNECTIONS'],
  ])('is refused in the words of its protocol: %s', async (_, from, setting) => {
    const listener = await crowded(from);
    const answer = await ask(listener, '/');
    expect(answer).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n[\s\S]*retry-after: 1\r\n/);
    const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as unknown;
    expect(body).toMatchObject({ code: 'UNAVAILABLE', reason: 'TOO_MANY_CONNECTIONS' });
    expect(answer).toMatch(new RegExp(`raise ${setting}"`));

    const overHttp2 = openRaw(listener.port, begin);
    await overHttp2.closed;
    expect(overHttp2.types).toEqual([frameTypes.settings, frameTypes.goaway]);
    expect(overHttp2.goaways).toEqual([
      {
        lastStream: 0,
        code: NGHTTP2_NO_ERROR,
        text: expect.stringContaining(setting) as unknown,
      },
    ]);
    expect(listener.open()).toBe(from.length);
    expect(listener.log.filter((line) => line.includes(setting))).toHaveLength(1);
  });

  it('is refused to gRPC as UNAVAILABLE, and is taken when there is room again', async () => {
    const listener = await crowded([us, us, us]);
    const client = new grpc.Client(
      `127.0.0.1:${listener.port}`,
      grpc.credentials.createInsecure(),
      {
        'grpc.initial_reconnect_backoff_ms': 100,
      },
    );
    onTestFinished(() => client.close());
    const call = (): Promise<grpc.status | undefined> =>
      new Promise((resolve) => {
        const same = (bytes: Buffer): Buffer => bytes;
        client.makeUnaryRequest('/a.b/C', same, same, Buffer.of(), (error) => resolve(error?.code));
      });
    expect(await call()).toBe(grpc.status.UNAVAILABLE);
    expect(listener.answer()).toBe(3);
    // What answers here does not speak gRPC: a status other than UNAVAILABLE means that it was reached.
    await expect.poll(call, { timeout: 30_000 }).not.toBe(grpc.status.UNAVAILABLE);
  });

  it('does not keep out another address', async () => {
    const listener = await crowded([us, us, us]);
    expect(await ask(listener, '/', them)).toContain('hello');
    expect(await get(connectHttp2(listener, them))).toBe('hello');
  });

  it('takes the place of the one that has had no request for longest', async () => {
    const listener = await listen(limits);
    const first = connect(listener).resume();
    first.write(halfHead);
    const firstClosed = closed(first);
    const second = connectHttp2(listener);
    expect(await get(second)).toBe('hello');
    const third = connect(listener).resume();
    await once(third, 'connect');
    expect(await ask(listener, '/')).toContain('hello');
    await firstClosed;
    expect([second.closed, third.destroyed]).toEqual([false, false]);

    const goaway = once(second, 'goaway');
    const open = [ask(listener, '/open'), ask(listener, '/open')];
    await expect.poll(() => listener.open()).toBe(2);
    expect((await goaway)[0]).toBe(NGHTTP2_NO_ERROR);
    expect(listener.answer()).toBe(2);
    await Promise.all(open);
  });

  it('is served, where many hold connections and none of them asks for anything', async () => {
    const listener = await listen({ maxConnections: 300, maxConnectionsPerPeer: 200 });
    const holders = Array.from({ length: 1000 }, (_, i) => {
      const socket = connect(listener, i % 2 === 0 ? us : them).resume();
      socket.write(i % 3 === 0 ? begin : halfHead);
      return socket;
    });
    const session = connectHttp2(listener);
    for (let round = 0; round < 20; round += 1) {
      expect(await ask(listener, '/')).toContain('hello');
    }
    await expect
      .poll(() => holders.filter(({ destroyed, connecting }) => !destroyed && !connecting).length)
      .toBeLessThan(300);
    expect(await get(session.closed || session.destroyed ? connectHttp2(listener) : session)).toBe(
      'hello',
    );
  });

  it('is closed without a word, where many are refused already and say nothing', async () => {
    const listener = await crowded([us, us, us]);
    const silent = Array.from({ length: 400 }, () => closed(connect(listener).resume()));
    await Promise.all(silent);
    expect(await ask(listener, '/', them)).toContain('hello');
    expect(listener.open()).toBe(3);
  });
});

it('gives back the place of each connection that closes, however it does', async () => {
  const listener = await listen({ maxConnections: 2, maxConnectionsPerPeer: 2 });
  for (let round = 0; round < 5; round += 1) {
    const socket = connect(listener);
    socket.write('GET /open HTTP/1.1\r\nhost: localhost\r\n\r\n');
    const session = connectHttp2(listener);
    const call = session.request({ ':path': '/open' });
    call.on('error', () => {});
    await expect.poll(() => listener.open()).toBe(2);
    expect(await ask(listener, '/')).toContain('503');
    socket.resetAndDestroy();
    session.destroy();
    await expect.poll(() => listener.open()).toBe(0);
  }
  expect(await ask(listener, '/')).toContain('hello');
});

describe('requests that HTTP/1.1 sends ahead', () => {
  const request = 'GET /open HTTP/1.1\r\nhost: localhost\r\n\r\n';

  it('are begun one after the other', async () => {
    const listener = await listen();
    const socket = connect(listener);
    socket.end(request.repeat(20));
    const answers = told(socket);
    for (let round = 0; round < 20; round += 1) {
      await expect.poll(() => listener.open()).toBe(1);
      listener.answer();
    }
    expect((await answers).match(/hello/g)).toHaveLength(20);
  });

  it('close their connection where they are a flood', async () => {
    const listener = await listen();
    const socket = connect(listener).resume();
    socket.write(request.repeat(20_000));
    await closed(socket);
    await expect.poll(() => listener.open()).toBe(0);
    expect(await ask(listener, '/')).toContain('hello');
  });
});
