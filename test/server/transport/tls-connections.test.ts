import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import * as net from 'node:net';
import { text } from 'node:stream/consumers';
import * as tls from 'node:tls';
import { pino } from 'pino';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  startListener,
  type Listener,
  type ListenerOptions,
} from '../../../src/server/transport/listener.ts';
import {
  canMakeCertificates,
  Certificates,
  ChangingTls,
  type Identity,
} from '../../support/certificates.ts';
import { CleanUps } from '../../support/clean-ups.ts';
import { roomyLimits } from '../fake-server.ts';

interface TestListener extends Listener {
  readonly log: string[];
  /** Answers the requests that are open; how many there were. */
  answer(): number;
  /** How many requests are open. */
  open(): number;
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const noSettings = Buffer.from('000000040000000000', 'hex');
const whole = 'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n';

describe.skipIf(!canMakeCertificates)('over TLS', () => {
  let authority: Identity;
  let server: Identity;
  let another: Identity;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    const certificates = await Certificates.open();
    cleanUps.defer(certificates.remove);
    authority = await certificates.authority('authority');
    server = await certificates.server(authority);
    another = await certificates.server(authority);
    return cleanUps.run;
  });

  /** Requests to `/open` stay so until they are answered. */
  async function listen(
    options: Partial<ListenerOptions> & {
      readonly tlsSource?: ChangingTls;
      readonly handshakesPerPeer?: number;
      readonly handshakeShare?: number;
    } = {},
  ): Promise<TestListener> {
    const open = new Set<() => void>();
    const log: string[] = [];
    const listener = await startListener({
      ...roomyLimits,
      host: '127.0.0.1',
      port: 0,
      logger: pino({ level: 'info' }, { write: (line: string) => log.push(line) }),
      tls: {
        source: options.tlsSource ?? new ChangingTls(server),
        clientAuth: 'required',
        handshakesPerPeer: options.handshakesPerPeer ?? 1000,
        handshakeShare: options.handshakeShare ?? 100,
      },
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

  /** A connection that says nothing by itself. */
  function connect(listener: Listener): net.Socket {
    const socket = net.connect(listener.port, listener.address);
    socket.on('error', () => {});
    onTestFinished(() => void socket.destroy());
    return socket;
  }

  function secure(listener: Listener, options: tls.ConnectionOptions = {}): tls.TLSSocket {
    const socket = tls.connect({
      port: listener.port,
      host: '127.0.0.1',
      ca: authority.cert,
      ALPNProtocols: ['http/1.1'],
      ...options,
    });
    socket.on('error', () => {});
    onTestFinished(() => void socket.destroy());
    return socket;
  }

  function session(listener: Listener): http2.ClientHttp2Session {
    const client = http2.connect(`https://127.0.0.1:${listener.port}`, {
      ca: authority.cert,
      servername: 'localhost',
    });
    client.on('error', () => {});
    onTestFinished(() => client.destroy());
    return client;
  }

  function get(client: http2.ClientHttp2Session, path = '/'): Promise<string> {
    return text(client.request({ ':path': path }));
  }

  async function ask(listener: Listener, path: string): Promise<string> {
    const socket = secure(listener);
    socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
    return told(socket);
  }

  async function told(socket: net.Socket): Promise<string> {
    let all = '';
    socket.on('data', (bytes) => (all += bytes.toString('latin1')));
    await closed(socket);
    return all;
  }

  function closed(socket: net.Socket): Promise<void> {
    return new Promise((resolve) => {
      if (socket.closed) {
        resolve();
      } else {
        socket.once('close', () => resolve());
      }
    });
  }

  /** The first flight of a client, as bytes. */
  async function hello(): Promise<Buffer> {
    const [near, far] = await pair();
    const client = tls.connect({ socket: near, servername: 'localhost' });
    client.on('error', () => {});
    const [bytes] = (await once(far, 'data')) as [Buffer];
    client.destroy();
    return bytes;
  }

  async function pair(): Promise<[net.Socket, net.Socket]> {
    const acceptor = net.createServer();
    acceptor.listen(0, '127.0.0.1');
    await once(acceptor, 'listening');
    const near = net.connect((acceptor.address() as net.AddressInfo).port, '127.0.0.1');
    const [far] = (await once(acceptor, 'connection')) as [net.Socket];
    acceptor.close();
    onTestFinished(() => {
      near.destroy();
      far.destroy();
    });
    return [near, far];
  }

  it('both versions of HTTP are spoken on the one port, as ALPN says', async () => {
    const listener = await listen();
    expect(listener.scheme).toBe('https');
    const client = session(listener);
    expect(await get(client)).toBe('hello');
    expect((client.socket as tls.TLSSocket).getProtocol()).toBe('TLSv1.3');
    const plain = secure(listener, { ALPNProtocols: undefined });
    plain.write(whole);
    expect(String((await once(plain, 'data'))[0])).toContain('hello');
    const old = secure(listener, { maxVersion: 'TLSv1.2' });
    old.write(whole);
    expect(String((await once(old, 'data'))[0])).toContain('hello');
    expect(old.getProtocol()).toBe('TLSv1.2');
  });

  it('a hello that comes in single bytes is taken', async () => {
    const listener = await listen();
    const [near, far] = await pair();
    const toServer = connect(listener);
    toServer.setNoDelay();
    far.on('data', (bytes) => {
      for (const byte of bytes) {
        toServer.write(Buffer.of(byte));
      }
    });
    toServer.pipe(far);
    const client = tls.connect({ socket: near, ca: authority.cert, servername: 'localhost' });
    onTestFinished(() => void client.destroy());
    client.on('error', () => {});
    client.write(whole);
    expect(String((await once(client, 'data'))[0])).toContain('hello');
  });

  describe('a handshake that does not come to its end', () => {
    it.each(['nothing', 'half a hello', 'a hello and no more', 'drops'])(
      'is bounded by the head timeout: %s',
      async (kind) => {
        const listener = await listen({ headTimeoutMs: 300 });
        const bytes = await hello();
        const socket = connect(listener).resume();
        const began = performance.now();
        if (kind === 'half a hello') {
          socket.write(bytes.subarray(0, 100));
        } else if (kind === 'a hello and no more') {
          socket.write(bytes);
        } else if (kind === 'drops') {
          let sent = 0;
          const drops = setInterval(() => socket.write(bytes.subarray(sent, (sent += 1))), 10);
          onTestFinished(() => clearInterval(drops));
        }
        await closed(socket);
        expect(performance.now() - began).toBeLessThan(3000);
      },
    );

    it('does not keep out those who come meanwhile, however many there are', async () => {
      const listener = await listen({ maxConnections: 50, maxConnectionsPerPeer: 50 });
      const bytes = await hello();
      const slow = Array.from({ length: 500 }, (_, i) => {
        const socket = connect(listener).resume();
        socket.write(bytes.subarray(0, i % 2 === 0 ? 50 : bytes.length));
        return socket;
      });
      for (let round = 0; round < 10; round += 1) {
        expect(await ask(listener, '/')).toContain('hello');
      }
      await expect
        .poll(() => slow.filter(({ destroyed, connecting }) => !destroyed && !connecting).length)
        .toBeLessThan(50);
    });

    it('is one of so many that a peer may begin in a second; more wait, and other peers do not', async () => {
      const listener = await listen({ handshakesPerPeer: 10 });
      const began = performance.now();
      const done: string[] = [];
      const shake = async (from: string): Promise<void> => {
        await once(
          secure(listener, { localAddress: from } as tls.ConnectionOptions),
          'secureConnect',
        );
        done.push(from);
      };
      const many = Array.from({ length: 25 }, () => shake('127.0.0.2'));
      await expect.poll(() => done.length).toBeGreaterThanOrEqual(10);
      await shake('127.0.0.3');
      expect(done.length).toBeLessThan(26);
      await Promise.all(many);
      // Ten at once, and fifteen by turns.
      expect(performance.now() - began).toBeGreaterThan(1400);
      await shake('127.0.0.2');
    });

    it('is told in the log where there is no version or cipher for both, at most once in a while', async () => {
      const listener = await listen();
      for (let i = 0; i < 20; i += 1) {
        const old = {
          minVersion: 'TLSv1.1',
          maxVersion: 'TLSv1.1',
          ciphers: 'ALL:@SECLEVEL=0',
        } as const;
        const weak = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA' } as const;
        await closed(secure(listener, i % 2 === 0 ? old : weak));
      }
      expect(listener.log).toHaveLength(2);
      expect(listener.log[0]).toContain('a handshake of TLS failed: ERR_SSL_UNSUPPORTED_PROTOCOL');
      expect(listener.log[1]).toContain('a handshake of TLS failed: ERR_SSL_NO_SHARED_CIPHER');
      expect(await ask(listener, '/')).toContain('hello');
    });
  });

  it.each([
    ['zeros', Buffer.alloc(64)],
    [
      'a record of TLS with nonsense',
      Buffer.from('1603010010ffffffffffffffffffffffffffffffff', 'hex'),
    ],
    ['an alert', Buffer.from('15030100020100', 'hex')],
    [
      'SSL 2',
      Buffer.from('802e0100020015000000100100800200800300800400800500800600400700c0', 'hex'),
    ],
  ])('garbage ends its connection and nothing else: %s', async (_, bytes) => {
    const listener = await listen({ headTimeoutMs: 500 });
    const socket = connect(listener).resume();
    socket.write(bytes);
    await closed(socket);
    expect(await ask(listener, '/')).toContain('hello');
  });

  it('a head that does not come is answered with 408', async () => {
    const listener = await listen({ headTimeoutMs: 300 });
    const socket = secure(listener);
    socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n');
    expect(await told(socket)).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    // HTTP/2 was agreed on, and does not begin.
    await closed(secure(listener, { ALPNProtocols: ['h2'] }).resume());
  });

  it('a connection without a request is closed after a while, and told so over HTTP/2', async () => {
    const listener = await listen({ idleTimeoutMs: 300 });
    const socket = secure(listener);
    socket.write(whole);
    expect(await told(socket)).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*hello$/);
    const client = session(listener);
    const goaway = once(client, 'goaway');
    expect(await get(client)).toBe('hello');
    expect((await goaway)[0]).toBe(http2.constants.NGHTTP2_NO_ERROR);
  });

  it('one connection too many is refused in the words of its protocol', async () => {
    const listener = await listen({ maxConnections: 2, maxConnectionsPerPeer: 2 });
    void ask(listener, '/open');
    const busy = session(listener);
    const open = get(busy, '/open');
    await expect.poll(() => listener.open()).toBe(2);
    expect(await ask(listener, '/')).toMatch(
      /^HTTP\/1\.1 503 Service Unavailable\r\n[\s\S]*TOO_MANY_CONNECTIONS/,
    );
    const client = session(listener);
    const [code, , told] = (await once(client, 'goaway')) as [number, number, Buffer];
    expect([code, String(told)]).toEqual([
      http2.constants.NGHTTP2_NO_ERROR,
      expect.stringContaining('DARKROOM_MAX_CONNECTIONS_PER_PEER'),
    ]);
    listener.answer();
    expect(await open).toBe('hello');
    expect(listener.log).toEqual([expect.stringContaining('connections are refused')]);
  });

  it('an idle connection makes room for another', async () => {
    const listener = await listen({ maxConnections: 2, maxConnectionsPerPeer: 2 });
    const idle = session(listener);
    expect(await get(idle)).toBe('hello');
    const goaway = once(idle, 'goaway');
    const open = [ask(listener, '/open'), ask(listener, '/open')];
    await expect.poll(() => listener.open()).toBe(2);
    await goaway;
    listener.answer();
    await Promise.all(open);
  });

  it('a peer of HTTP/2 that is gone without a word is noticed, and one that answers is kept', async () => {
    const ended = Promise.withResolvers<void>();
    const listener = await listen({
      deadPeerIntervalMs: 150,
      handler: (request, response) =>
        request.url === '/' ? response.once('close', ended.resolve) : response.end('hello'),
    });
    const client = session(listener);
    let pings = 0;
    const kept = new Promise<void>((resolve) =>
      client.on('ping', () => (pings += 1) === 4 && resolve()),
    );
    const socket = secure(listener, { ALPNProtocols: ['h2'] }).resume();
    socket.write(preface);
    socket.write(noSettings);
    socket.write(Buffer.from('000006' + '01' + '05' + '00000001' + '828784410161', 'hex'));
    await ended.promise;
    await closed(socket);
    await kept;
    expect(await get(client, '/kept')).toBe('hello');
  });

  it('a client that ends its side after the request is answered', async () => {
    const listener = await listen();
    const socket = secure(listener, { allowHalfOpen: true } as tls.ConnectionOptions);
    socket.end('GET /open HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await expect.poll(() => listener.open()).toBe(1);
    listener.answer();
    expect(await told(socket)).toContain('hello');
  });

  it.each([
    ['in the handshake', undefined],
    ['after it, over HTTP/1.1', 'http/1.1'],
    ['after it, over HTTP/2', 'h2'],
  ])('a client that ends its side %s is let go', async (_, protocol) => {
    const listener = await listen({ headTimeoutMs: 500 });
    if (protocol === undefined) {
      const socket = connect(listener).resume();
      socket.end((await hello()).subarray(0, 100));
      await closed(socket);
    } else {
      const socket = secure(listener, { ALPNProtocols: [protocol] }).resume();
      await once(socket, 'secureConnect');
      socket.end();
      await closed(socket);
    }
    expect(await ask(listener, '/')).toContain('hello');
  });

  it('a client may not begin the handshake anew', async () => {
    const listener = await listen();
    const socket = secure(listener, { maxVersion: 'TLSv1.2' });
    await once(socket, 'secureConnect');
    const failed = once(socket, 'error');
    socket.renegotiate({}, () => {});
    expect((await failed)[0]).toMatchObject({ code: 'ERR_SSL_NO_RENEGOTIATION' });
  });

  it('a drain ends handshakes and idle connections, and lets running requests end', async () => {
    const listener = await listen();
    const client = session(listener);
    const goaway = once(client, 'goaway');
    const overHttp2 = get(client, '/open');
    const agent = new https.Agent({ keepAlive: true, ca: authority.cert });
    onTestFinished(() => agent.destroy());
    const overHttp1 = new Promise<IncomingMessage>((resolve) => {
      https.get({ host: '127.0.0.1', port: listener.port, path: '/open', agent }, resolve);
    });
    const silent = secure(listener).resume();
    await once(silent, 'secureConnect');
    const shaking = connect(listener).resume();
    shaking.write((await hello()).subarray(0, 50));
    const used = secure(listener).resume();
    used.write(whole);
    await once(used, 'data');
    await expect.poll(() => listener.open()).toBe(2);

    listener.drain();
    await Promise.all([goaway, closed(silent), closed(shaking), closed(used)]);
    expect(listener.answer()).toBe(2);
    expect(await overHttp2).toBe('hello');
    const response = await overHttp1;
    expect([response.headers.connection, await text(response)]).toEqual(['close', 'hello']);
    await listener.closed;
  });

  it('another certificate is for new connections, and those that there are go on', async () => {
    const source = new ChangingTls(server);
    const listener = await listen({ tlsSource: source });
    const before = session(listener);
    expect(await get(before)).toBe('hello');
    source.change(another);
    const seen = secure(listener);
    await once(seen, 'secureConnect');
    expect(seen.getPeerX509Certificate()?.raw).toEqual(new X509Certificate(another.cert).raw);
    expect(await get(before)).toBe('hello');
  });

  describe('a session', () => {
    /** Comes, keeps the session, and comes again with it; whether it was resumed. */
    async function isResumed(first: Listener, then: Listener): Promise<boolean> {
      const socket = secure(first, { maxVersion: 'TLSv1.3' });
      const ticket = once(socket, 'session');
      socket.write(whole);
      const [kept] = (await ticket) as [Buffer];
      socket.destroy();
      const again = secure(then, { session: kept });
      await once(again, 'secureConnect');
      return again.isSessionReused();
    }

    it('is resumed by each process of one port, and not by others', async () => {
      const secret = Buffer.alloc(32, 'secret');
      const [one, two, other] = [
        await listen({ tlsSource: new ChangingTls(server, undefined, secret) }),
        await listen({ tlsSource: new ChangingTls(server, undefined, secret) }),
        await listen(),
      ];
      expect(await isResumed(one, two)).toBe(true);
      expect(await isResumed(one, other)).toBe(false);
    });

    it('is not resumed when the files have changed', async () => {
      const source = new ChangingTls(server);
      const listener = await listen({ tlsSource: source });
      expect(await isResumed(listener, listener)).toBe(true);
      const socket = secure(listener);
      const ticket = once(socket, 'session');
      socket.write(whole);
      const [kept] = (await ticket) as [Buffer];
      source.change(server, authority);
      const again = secure(listener, { session: kept });
      await once(again, 'secureConnect');
      expect(again.isSessionReused()).toBe(false);
    });
  });
});
