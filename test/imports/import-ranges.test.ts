import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { useDatabase } from '../support/test-database.ts';
import { readTask } from '../support/upload-world.ts';
import { expectImage, importFrom } from './import-outcome.ts';
import { ended, openImportWorld } from './import-world.ts';
import { breaksOnce, sendPart } from './range-answers.ts';
import { servesInPieces, startSource } from './source-server.ts';

const database = useDatabase();
const bytes = randomBytes(4_194_304);
const cut = 2_097_152;

describe('a source whose ranges do not work is read from its beginning and compared', () => {
  test.each<[string, (response: ServerResponse, start: number) => void]>([
    [
      '416 with its true size',
      (response) => response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end(),
    ],
    ['416 without a word', (response) => response.writeHead(416).end()],
    [
      'a start after the one that was asked for',
      (response, start) => sendPart(response, bytes, { start: start + 1, end: bytes.length }),
    ],
    [
      'bytes that are there already',
      (response, start) => sendPart(response, bytes, { start: 0, end: start }),
    ],
    [
      '206 without Content-Range',
      (response, start) =>
        sendPart(response, bytes, { start, end: bytes.length, contentRange: null }),
    ],
    [
      'a Content-Range that is none',
      (response, start) =>
        sendPart(response, bytes, { start, end: bytes.length, contentRange: 'bytes all' }),
    ],
    [
      'another length than that of the range',
      (response, start) =>
        sendPart(response, bytes, {
          start,
          end: start + 100,
          contentRange: `bytes ${start}-${bytes.length - 1}/${bytes.length}`,
        }),
    ],
    [
      'less in all than before',
      (response, start) =>
        sendPart(response, bytes, {
          start,
          end: start + 10,
          contentRange: `bytes ${start}-${start + 9}/${start + 10}`,
        }),
    ],
    [
      'several parts',
      (response, start) =>
        response
          .writeHead(206, { etag: '"one"', 'content-type': 'multipart/byteranges; boundary=x' })
          .end(
            `--x\r\ncontent-range: bytes ${start}-${start + 1}/${bytes.length}\r\n\r\nab\r\n--x--`,
          ),
    ],
    [
      'a part of what is compressed',
      (response, start) =>
        sendPart(response, bytes, {
          start,
          end: bytes.length,
          headers: { 'content-encoding': 'gzip' },
        }),
    ],
    [
      'a part of another version',
      (response, start) =>
        sendPart(response, randomBytes(bytes.length), {
          start,
          end: bytes.length,
          etag: '"two"',
        }),
    ],
    [
      'a part of a weakly equal version',
      (response, start) => sendPart(response, bytes, { start, end: bytes.length, etag: 'W/"one"' }),
    ],
    [
      'more bytes than it says',
      (response, start) => {
        response.writeHead(206, {
          etag: '"one"',
          'content-range': `bytes ${start}-${start + 9}/${bytes.length}`,
        });
        response.write(bytes.subarray(start, start + 10));
        response.end(randomBytes(10));
      },
    ],
    [
      'other bytes than before',
      (response, start) => {
        const end = bytes.length;
        response.writeHead(206, {
          etag: '"one"',
          'content-range': `bytes ${start - 10}-${end - 1}/${end}`,
        });
        response.end(randomBytes(end - start + 10));
      },
    ],
    [
      'an empty part',
      (response, start) => {
        response.writeHead(206, {
          etag: '"one"',
          'content-range': `bytes ${start}-${start + 9}/${bytes.length}`,
        });
        response.end();
      },
    ],
    ['403', (response) => response.writeHead(403).end()],
    ['501', (response) => response.writeHead(501).end()],
    [
      'what is no HTTP',
      (response) => {
        response.socket?.end(
          'HTTP/1.1 206 Partial Content\r\ntransfer-encoding: chunked\r\n\r\nzz',
        );
      },
    ],
  ])('%s', async (_, answer) => {
    const outcome = await importFrom(database(), breaksOnce(bytes, cut, answer));
    await expectImage(outcome, bytes);
    expect(outcome.faults.map(({ reason }) => reason)).toEqual(['SOURCE_CUT_SHORT']);
    const ranges = outcome.source.requests.map(({ headers }) => headers.range);
    expect(ranges).toEqual([undefined, `bytes=${cut}-`, undefined]);
  });

  test('and its task says so', async () => {
    const world = await openImportWorld(database());
    const going = Promise.withResolvers<void>();
    const source = await startSource((request, response, number) => {
      if (number === 1) {
        servesInPieces(bytes, [cut])(request, response, number);
      } else if (request.headers.range !== undefined) {
        response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
      } else {
        response.writeHead(200, { etag: '"one"', 'content-length': bytes.length });
        response.flushHeaders();
        void going.promise.then(() => response.end(bytes));
      }
    });
    const { taskId } = await world.create(source.origin);
    await expect
      .poll(async () => (await readTask(database(), taskId)).message, { timeout: 10_000 })
      .toMatch(
        /^Reading .* again from its beginning, since it answered 416 when it was asked for the bytes from 2097152; the first 2097152 bytes are compared$/,
      );
    going.resolve();
    expect(await ended(database(), taskId)).toMatchObject({
      state: 'SUCCEEDED',
      message: `Fetched from ${source.origin}/, read again from its beginning since it answered 416 when it was asked for the bytes from 2097152`,
    });
  });

  test.each([500, 502, 504])('once HTTP %i for each of them has cost two tries', async (status) => {
    const outcome = await importFrom(
      database(),
      breaksOnce(bytes, cut, (response) => response.writeHead(status).end()),
    );
    await expectImage(outcome, bytes);
    expect(outcome.faults.map(({ reason }) => reason)).toEqual([
      'SOURCE_CUT_SHORT',
      'SOURCE_HTTP_STATUS',
    ]);
  });

  test('but not while the source only asks to be left alone', async () => {
    const outcome = await importFrom(
      database(),
      breaksOnce(bytes, cut, (response) => response.writeHead(503, { 'retry-after': '1' }).end()),
    );
    expect(outcome.task.state).toBe('FAILED');
    expect(outcome.last).toMatchObject({ reason: 'SOURCE_HTTP_STATUS', code: 14 });
    expect(outcome.source.requests).toHaveLength(3);
  });
});
