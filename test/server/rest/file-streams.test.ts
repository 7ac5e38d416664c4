import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, truncate } from 'node:fs/promises';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import { buffer } from 'node:stream/consumers';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { startService, type RunningService } from '../../support/running-service.ts';
import {
  answerOn,
  ask,
  bytesWithHoles,
  openSegments,
  residentBytes,
  stalledReader,
  storeImage,
  type StoredImage,
} from './file-fixtures.ts';
import { sharedService } from './fixtures.ts';

const MiB = 1024 * 1024;
const service = sharedService();
let image: StoredImage;
beforeAll(async () => {
  image = await storeImage(service(), randomBytes(48 * MiB));
});

/** A download over HTTP/2 on a connection of its own, of which nothing is read yet. */
async function http2Download(
  path: string,
  headers: http2.OutgoingHttpHeaders = {},
): Promise<{ stream: http2.ClientHttp2Stream; headers: http2.IncomingHttpHeaders }> {
  const session = http2.connect(service().process.url);
  onTestFinished(() => session.destroy());
  const stream = session.request({ ':path': path, ...headers });
  stream.on('error', () => {});
  const [received] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  return { stream, headers: received };
}

/** All that comes, however it ends. */
async function drained(stream: http2.ClientHttp2Stream): Promise<Buffer> {
  const parts: Buffer[] = [];
  stream.on('data', (part: Buffer) => parts.push(part));
  // Not by `once`, which fails with the stream.
  await new Promise<void>((resolve) => void stream.on('close', resolve));
  return Buffer.concat(parts);
}

function noSegmentOpen(of: RunningService = service()): Promise<void> {
  return expect.poll(() => openSegments(of), { timeout: 10_000 }).toEqual([]);
}

describe('over HTTP/2', () => {
  test('an image comes whole, in ranges and by HEAD', async () => {
    const { path, bytes, etag } = await storeImage(service(), bytesWithHoles());
    const whole = await http2Download(path);
    expect(whole.headers).toMatchObject({ ':status': 200, etag });
    expect(whole.headers['content-length']).toBe(String(bytes.length));
    expect((await drained(whole.stream)).equals(bytes)).toBe(true);
    const range = await http2Download(path, { range: 'bytes=1000000-40000000' });
    expect(range.headers).toMatchObject({
      ':status': 206,
      'content-range': `bytes 1000000-40000000/${bytes.length}`,
    });
    expect((await drained(range.stream)).equals(bytes.subarray(1_000_000, 40_000_001))).toBe(true);
    const head = await http2Download(path, { ':method': 'HEAD' });
    expect(head.headers).toMatchObject({ ':status': 200, etag });
    expect(head.headers['content-length']).toBe(String(bytes.length));
    const known = await http2Download(path, { 'if-none-match': etag });
    expect(known.headers).toMatchObject({ ':status': 304, etag });
    await noSegmentOpen();
  });

  test.each(['NGHTTP2_CANCEL', 'NGHTTP2_NO_ERROR'] as const)(
    'who gives up with %s is not read for any more',
    async (code) => {
      const { stream } = await http2Download(image.path);
      await expect.poll(() => openSegments(service())).toHaveLength(1);
      stream.close(http2.constants[code]);
      await noSegmentOpen();
    },
  );

  test('a store that fails on the way resets the stream', async () => {
    const broken = await storeImage(service(), randomBytes(48 * MiB));
    const { stream, headers } = await http2Download(broken.path);
    await loseBytesAfter(24 * MiB);
    const received = await drained(stream);
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_INTERNAL_ERROR);
    expect(headers['content-length']).toBe(String(48 * MiB));
    expect(received.length).toBeLessThan(48 * MiB);
    await expectLostBytesLogged(broken);
  });
});

/** Has the store lose bytes of the only image that is being read. */
async function loseBytesAfter(length: number): Promise<void> {
  const [file] = await openSegments(service());
  await chmod(file!, 0o640);
  await truncate(file!, length);
}

async function expectLostBytesLogged({ path }: StoredImage): Promise<void> {
  await expect
    .poll(() => service().process.log.find((line) => line['method'] === `GET ${path}`))
    .toMatchObject({
      msg: 'call failed',
      level: expect.toSatisfy((level) => Number(level) >= 40),
      reason: 'STORED_BYTES_LOST',
    });
  await noSegmentOpen();
}

describe('over HTTP/1.1', () => {
  test('a store that fails on the way breaks the connection off', async () => {
    const broken = await storeImage(service(), randomBytes(48 * MiB));
    const socket = await stalledReader(service(), broken.path);
    await loseBytesAfter(24 * MiB);
    const { head, body } = await answerOn(socket);
    expect(head).toContain(`content-length: ${48 * MiB}`);
    expect(body.length).toBeLessThan(48 * MiB);
    expect(body.equals(broken.bytes.subarray(0, body.length))).toBe(true);
    await expectLostBytesLogged(broken);
  });

  test('a store that fails before the first byte is told as an error', async () => {
    const broken = await storeImage(service(), randomBytes(48 * MiB));
    const socket = await stalledReader(service(), broken.path);
    await loseBytesAfter(10);
    socket.destroy();
    const answer = await ask(service(), broken.path);
    expect(answer.status).toBe(500);
    expect(answer.headers.etag).toBeUndefined();
    expect(answer.headers['content-type']).toBe('application/json');
    await noSegmentOpen();
  });

  test('who goes away is not read for any more', async () => {
    const readers = await Promise.all(
      Array.from({ length: 5 }, () => stalledReader(service(), image.path)),
    );
    await expect.poll(() => openSegments(service())).toHaveLength(5);
    for (const reader of readers) {
      reader.destroy();
    }
    await noSegmentOpen();
    expect((await ask(service(), image.path)).body.equals(image.bytes)).toBe(true);
  });

  test('requests that are sent at once are read for one after the other', async () => {
    const socket = await stalledReader(service(), image.path, 200);
    await expect.poll(() => openSegments(service())).toHaveLength(1);
    expect((await ask(service(), image.path)).body.equals(image.bytes)).toBe(true);
    expect(await openSegments(service())).toHaveLength(1);
    socket.destroy();
    await noSegmentOpen();
  });

  test('and are answered in their order', async () => {
    const stored = [
      await storeImage(service(), randomBytes(3 * MiB)),
      await storeImage(service(), Buffer.from('twelve bytes')),
      await storeImage(service(), randomBytes(2 * MiB)),
    ];
    const socket = net.connect(Number(new URL(service().process.url).port), '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    const asked = stored.map(({ path }) => `GET ${path} HTTP/1.1\r\nhost: localhost\r\n`);
    socket.write(`${asked.join('\r\n')}connection: close\r\n\r\n`);
    const answers = await buffer(socket);
    const places = stored.map(({ bytes }) => answers.indexOf(bytes));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(places[0]).toBeGreaterThan(0);
    expect(places[2]).toBe(answers.length - 2 * MiB);
  });
});

test('readers that do not read hold next to nothing, and are served when they do', async () => {
  // Once, so that what any download takes is there.
  await ask(service(), image.path);
  const before = await residentBytes(service());
  const readers = await Promise.all(
    Array.from({ length: 24 }, () => stalledReader(service(), image.path)),
  );
  const streams = await Promise.all(Array.from({ length: 8 }, () => http2Download(image.path)));
  // As long as these take, the others could have been read for.
  for (let round = 0; round < 3; round += 1) {
    expect((await ask(service(), image.path)).body.length).toBe(image.bytes.length);
  }
  const held = (await residentBytes(service())) - before;
  expect(await openSegments(service())).toHaveLength(32);
  // Of the 1,536 MiB that they asked for: a few chunks each, and what the collector has not seen yet.
  expect(held / MiB).toBeLessThan(400);

  const { head, body } = await answerOn(readers[0]!);
  expect(head).toMatch(/^HTTP\/1\.1 200 /);
  expect(body.equals(image.bytes)).toBe(true);
  expect((await drained(streams[0]!.stream)).equals(image.bytes)).toBe(true);
  for (const reader of readers) {
    reader.destroy();
  }
  for (const { stream } of streams) {
    stream.close();
  }
  await noSegmentOpen();
});

test('an image that is deleted meanwhile comes whole', async () => {
  const doomed = await storeImage(service(), randomBytes(32 * MiB));
  const { stream } = await http2Download(doomed.path);
  await service().images.deleteImage({ imageId: doomed.id });
  expect((await ask(service(), doomed.path)).status).toBe(404);
  expect((await drained(stream)).equals(doomed.bytes)).toBe(true);
  await noSegmentOpen();
});

describe('while the service stops', () => {
  test('what is being sent goes on to its end', async () => {
    const stopping = await startService({ DARKROOM_DRAIN_TIMEOUT_MS: '60000' });
    const stored = await storeImage(stopping, randomBytes(32 * MiB));
    const socket = await stalledReader(stopping, stored.path);
    stopping.process.signal('SIGTERM');
    await expect
      .poll(() => stopping.process.log.some(({ msg }) => msg?.startsWith('stopping')))
      .toBe(true);
    const { body } = await answerOn(socket);
    expect(body.equals(stored.bytes)).toBe(true);
    expect(await stopping.process.exited).toBe(0);
  });

  test('what takes longer than it may is broken off', async () => {
    const stopping = await startService({ DARKROOM_DRAIN_TIMEOUT_MS: '100' });
    const stored = await storeImage(stopping, randomBytes(32 * MiB));
    const socket = await stalledReader(stopping, stored.path);
    expect(await stopping.process.kill('SIGTERM')).toBe(0);
    const { body } = await answerOn(socket);
    expect(body.length).toBeLessThan(stored.bytes.length);
  });
});
