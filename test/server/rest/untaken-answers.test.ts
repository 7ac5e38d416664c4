import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { expect, onTestFinished, test } from 'vitest';
import { failureOf, readAll } from '../../support/failures.ts';
import { patience } from '../../support/held-upload.ts';
import { startService, type RunningService } from '../../support/running-service.ts';
import { answerOn, ask, openSegments, stalledReader, storeImage } from './file-fixtures.ts';

const MiB = 1024 * 1024;

function connect(service: RunningService): http2.ClientHttp2Session {
  const session = http2.connect(service.process.url);
  session.on('error', () => {});
  onTestFinished(() => session.destroy());
  return session;
}

/** A download of which nothing is read. */
async function stalledStream(
  session: http2.ClientHttp2Session,
  path: string,
): Promise<http2.ClientHttp2Stream> {
  const stream = session.request({ ':path': path });
  stream.on('error', () => {});
  await once(stream, 'response');
  return stream;
}

function notTaken(service: RunningService): number {
  return service.process.log.filter(
    ({ reason, level }) => reason === 'STREAM_IDLE' && Number(level) >= 30,
  ).length;
}

test('an answer of which nothing is taken is ended, and its file closed, over either HTTP', async () => {
  const service = await startService({ DARKROOM_STREAM_IDLE_TIMEOUT_MS: '1000' });
  const image = await storeImage(service, randomBytes(48 * MiB));
  const session = connect(service);
  // Who pings takes nothing for that.
  const pings = setInterval(() => session.ping(() => {}), 50);
  onTestFinished(() => clearInterval(pings));
  const stream = await stalledStream(session, image.path);
  const closed = new Promise<void>((resolve) => void stream.on('close', resolve));
  const socket = await stalledReader(service, image.path);
  expect(await openSegments(service)).toHaveLength(2);
  // Meanwhile others of its connection are answered.
  const other = session.request({ ':path': '/healthz' }).resume();
  await once(other, 'end');

  await closed;
  expect(stream.rstCode).toBe(http2.constants.NGHTTP2_CANCEL);
  await expect.poll(() => openSegments(service), patience).toEqual([]);
  const { head, body } = await answerOn(socket);
  expect(head).toContain(`content-length: ${48 * MiB}`);
  expect(body.length).toBeLessThan(48 * MiB);
  await expect.poll(() => notTaken(service), patience).toBe(2);
  expect((await ask(service, image.path)).body.equals(image.bytes)).toBe(true);
});

test('one that is taken slowly comes whole, however many timeouts that takes', async () => {
  const service = await startService({ DARKROOM_STREAM_IDLE_TIMEOUT_MS: '2000' });
  const image = await storeImage(service, randomBytes(24 * MiB));
  const stream = await stalledStream(connect(service), image.path);
  const began = performance.now();
  const parts: Buffer[] = [];
  let sinceBreak = 0;
  stream.on('data', (part: Buffer) => {
    parts.push(part);
    sinceBreak += part.length;
    // At the pace of a slow line.
    if (sinceBreak >= MiB) {
      sinceBreak = 0;
      stream.pause();
      setTimeout(() => stream.resume(), 200);
    }
  });
  await once(stream, 'end');
  expect(performance.now() - began).toBeGreaterThan(2 * 2000);
  expect(Buffer.concat(parts).equals(image.bytes)).toBe(true);
  expect(notTaken(service)).toBe(0);
});

test('a watch on which nothing happens goes on', async () => {
  const service = await startService({ DARKROOM_STREAM_IDLE_TIMEOUT_MS: '500' });
  const { task } = await service.images.createImage({
    image: { name: 'disk', diskFormat: 1 },
    source: { case: 'upload', value: {} },
  });
  const heard: unknown[] = [];
  const began = performance.now();
  const watch = service.tasks.watchTask(
    { taskId: task!.id, heartbeatInterval: { seconds: 1n, nanos: 0 } },
    { timeoutMs: 30_000 },
  );
  for await (const { content } of watch) {
    heard.push(content.case);
    if (heard.length === 3) {
      break;
    }
  }
  expect(heard).toEqual(['snapshot', 'heartbeat', 'heartbeat']);
  expect(performance.now() - began).toBeGreaterThan(2 * 500);
});

test('more downloads than there may be are refused, and served when others end', async () => {
  const service = await startService({ DARKROOM_MAX_DOWNLOADS: '2' });
  const image = await storeImage(service, randomBytes(48 * MiB));
  const session = connect(service);
  const streams = [
    await stalledStream(session, image.path),
    await stalledStream(session, image.path),
  ];
  const refused = await ask(service, image.path);
  expect(refused.status).toBe(429);
  expect(refused.headers['retry-after']).toBe('1');
  expect(refused.body.toString()).toContain('All 2 downloads');
  const error = await failureOf(readAll(service.images.downloadImage({ imageId: image.id })));
  expect(error).toMatchObject({
    code: 'ResourceExhausted',
    reason: 'TOO_MANY_DOWNLOADS',
    hasRetryInfo: true,
  });
  // What only looks at it takes no place.
  expect((await ask(service, image.path, { method: 'HEAD' })).status).toBe(200);

  streams[0]!.close(http2.constants.NGHTTP2_CANCEL);
  await expect.poll(async () => (await ask(service, image.path)).status, patience).toBe(200);
  streams[1]!.close(http2.constants.NGHTTP2_CANCEL);
  await expect.poll(() => openSegments(service), patience).toEqual([]);
  const again = await Promise.all([ask(service, image.path), ask(service, image.path)]);
  expect(again.map(({ status }) => status)).toEqual([200, 200]);
});
