import * as http2 from 'node:http2';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { openDelayedPort } from '../../../bench/wire/delayed-port.ts';
import { startListener, type Listener } from '../../../src/server/transport/listener.ts';
import type { RequestHandler } from '../../../src/server/transport/node-http.ts';
import { roomyLimits } from '../fake-server.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
/** Of a call on a connection that has just begun. */
const usual = 512 * KiB;

const readAll: RequestHandler = (request, response) => {
  request.resume();
  request.once('end', () => response.end());
};
/** As a handler that waits for a disk. */
const readNothing: RequestHandler = () => {};

interface Windows {
  readonly maxStreamWindowBytes?: number;
  readonly maxUnreadBytes?: number;
}

async function listen(handler: RequestHandler, windows: Windows): Promise<Listener> {
  const listener = await startListener({
    host: '127.0.0.1',
    port: 0,
    ...roomyLimits,
    ...windows,
    logger: pino({ level: 'silent' }),
    handler,
  });
  onTestFinished(() => {
    listener.destroy();
    return listener.closed;
  });
  return listener;
}

/** A client, and the windows of its calls as it is told of them. */
interface Client {
  readonly session: http2.ClientHttp2Session;
  readonly told: number[];
  /** PINGs that came. */
  pings: number;
}

function connect(port: number): Client {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const client: Client = { session, told: [], pings: 0 };
  session.on('error', () => {});
  session.on('remoteSettings', ({ initialWindowSize }) => client.told.push(initialWindowSize));
  session.on('ping', () => (client.pings += 1));
  onTestFinished(() => session.destroy());
  return client;
}

function post({ session }: Client): http2.ClientHttp2Stream {
  const stream = session.request({ ':method': 'POST', ':path': '/' }).resume();
  stream.on('error', () => {});
  return stream;
}

/** Sends so many bytes, or until the stream ends. */
async function send(stream: http2.ClientHttp2Stream, bytes: number): Promise<void> {
  const pieces = Readable.from(
    (function* () {
      const piece = Buffer.alloc(256 * KiB);
      for (let sent = 0; sent < bytes; sent += piece.length) {
        yield piece;
      }
    })(),
  );
  await pipeline(pieces, stream, { end: false }).catch(() => {});
}

it('widens the window of a long line while it is full, up to its bound, and takes that back afterwards', async () => {
  const listener = await listen(readAll, { maxStreamWindowBytes: MiB });
  const line = await openDelayedPort(listener.port, 50);
  onTestFinished(() => line.close());
  const client = connect(line.port);
  await expect.poll(() => client.told).toEqual([usual]);
  const upload = post(client);
  const isWide = once(client.session, 'remoteSettings');
  const sending = send(upload, Number.POSITIVE_INFINITY);
  await isWide;
  expect(client.told).toEqual([usual, MiB]);
  // Long enough for the wider window to be full, too.
  const { bytesWritten } = client.session.socket;
  await expect
    .poll(() => client.session.socket.bytesWritten - bytesWritten)
    .toBeGreaterThan(8 * MiB);
  expect(client.told).toEqual([usual, MiB]);
  upload.close(http2.constants.NGHTTP2_CANCEL);
  await sending;
  await expect.poll(() => client.told.at(-1)).toBe(usual);

  // The next upload has at once what the line was found to ask for.
  post(client);
  await expect.poll(() => client.told.at(-1)).toBe(MiB);
});

it('widens a window of which a client is told half by half', async () => {
  const half = usual / 2;
  let received = 0;
  // Says after each half that it was read, by which nghttp2 says so, too.
  const listener = await listen((request, response) => {
    const { stream } = response as http2.Http2ServerResponse;
    request.on('data', (bytes: Buffer) => {
      const before = Math.floor(received / half);
      received += bytes.length;
      stream.write('.'.repeat(Math.floor(received / half) - before));
    });
  }, {});
  const line = await openDelayedPort(listener.port, 50);
  onTestFinished(() => line.close());
  const client = connect(line.port);
  await expect.poll(() => client.told).toEqual([usual]);
  const upload = post(client);
  const piece = Buffer.alloc(half);
  upload.on('data', () => upload.write(piece));
  upload.write(piece);
  await expect.poll(() => client.told.length).toBeGreaterThan(1);
  expect(client.told[1]).toBeGreaterThan(usual);
});

it('leaves the window of a long line as it is whose client sends little', async () => {
  const listener = await listen(readAll, {});
  const line = await openDelayedPort(listener.port, 15);
  onTestFinished(() => line.close());
  const client = connect(line.port);
  const upload = post(client);
  await expect
    .poll(() => {
      upload.write(Buffer.alloc(64 * KiB));
      return client.pings;
    })
    .toBeGreaterThan(2);
  expect(client.told).toEqual([usual]);
});

it('leaves the window as it is where it is the handler that does not read', async () => {
  const listener = await listen(readNothing, {});
  const line = await openDelayedPort(listener.port, 15);
  onTestFinished(() => line.close());
  const client = connect(line.port);
  void send(post(client), 64 * MiB);
  await expect.poll(() => client.pings).toBeGreaterThan(2);
  expect(client.told).toEqual([usual]);
});

it('has windows that never change where that is set', async () => {
  const listener = await listen(readAll, { maxStreamWindowBytes: 256 * KiB });
  const line = await openDelayedPort(listener.port, 15);
  onTestFinished(() => line.close());
  const client = connect(line.port);
  const upload = post(client);
  await send(upload, 2 * MiB);
  upload.end();
  await once(upload, 'close');
  expect(client.told).toEqual([256 * KiB]);
});

it('has the calls of a connection share what may be unread, and takes nothing more from them', async () => {
  const listener = await listen(readNothing, { maxUnreadBytes: 4 * MiB });
  const client = connect(listener.port);
  const uploads = Array.from({ length: 16 }, () => post(client));
  await expect.poll(() => client.told.at(-1)).toBe(256 * KiB);
  const before = client.session.socket.bytesWritten;
  uploads.forEach((upload) => void send(upload, 4 * MiB));
  const written = (): number => client.session.socket.bytesWritten - before;
  await expect.poll(written).toBeGreaterThanOrEqual(4 * MiB);
  // Frames have heads of nine bytes.
  expect(written()).toBeLessThan(4.1 * MiB);
});

it('has connections share what may be unread, and gives back what others left', async () => {
  const listener = await listen(readNothing, { maxUnreadBytes: MiB });
  const clients = Array.from({ length: 8 }, () => connect(listener.port));
  const uploads = clients.map((client) => post(client));
  for (const client of clients) {
    await expect.poll(() => client.told.at(-1)).toBe(128 * KiB);
  }
  uploads.slice(1).forEach((upload) => upload.close(http2.constants.NGHTTP2_CANCEL));
  await expect.poll(() => clients[0]!.told.at(-1)).toBe(usual);
});

it('gives each call a least window, however many send', async () => {
  const listener = await listen(readNothing, { maxUnreadBytes: MiB });
  const client = connect(listener.port);
  Array.from({ length: 64 }, () => post(client));
  await expect.poll(() => client.told.at(-1)).toBe(64 * KiB);
});

it('does not count calls whose bodies were read and which wait for their answers', async () => {
  let [begun, read] = [0, 0];
  const listener = await listen(
    (request) => {
      begun += 1;
      request.resume().once('end', () => (read += 1));
    },
    { maxUnreadBytes: MiB },
  );
  const client = connect(listener.port);
  Array.from({ length: 64 }, () => post(client).end('as a watch'));
  await expect.poll(() => read).toBe(64);
  post(client);
  await expect.poll(() => begun).toBe(65);
  // A client is told what its server said before it answered this.
  await new Promise((resolve) => client.session.ping(resolve));
  await expect.poll(() => client.told.at(-1)).toBe(usual);
});
