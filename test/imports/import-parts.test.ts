import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { hasProgram, makeQcow2Image } from '../support/disk-images.ts';
import { useDatabase } from '../support/test-database.ts';
import { expectImage, importFrom, sha256Of } from './import-outcome.ts';
import { breaksOnce, sendPart } from './range-answers.ts';
import { servesInPieces } from './source-server.ts';

const database = useDatabase();
const bytes = randomBytes(4_194_304);
const cut = 2_097_152;

describe('a source that sends the rest in parts', () => {
  test.each([
    ['large ones', 716_800],
    ['of which the first is one byte', 1],
  ])('%s is asked on until the image is whole', async (_, length) => {
    let next = length;
    const outcome = await importFrom(
      database(),
      breaksOnce(bytes, cut, (response, start) => {
        sendPart(response, bytes, { start, end: Math.min(start + next, bytes.length) });
        next = 716_800;
      }),
    );
    await expectImage(outcome, bytes);
    // No part is a failed try.
    expect(outcome.faults.map(({ reason }) => reason)).toEqual(['SOURCE_CUT_SHORT']);
    expect(outcome.source.requests[2]?.headers.range).toBe(`bytes=${cut + length}-`);
  });

  test.each([
    ['the size', { totalSize: bytes.length }],
    ['the digest', { sha256: sha256Of(bytes) }],
  ])('is asked on too where %s was stated', async (_, stated) => {
    const answer = (response: ServerResponse, start: number): void =>
      sendPart(response, bytes, { start, end: Math.min(start + 716_800, bytes.length) });
    await expectImage(
      await importFrom(database(), breaksOnce(bytes, cut, answer), { stated }),
      bytes,
    );
  });

  test('and says no whole size with them is held to the one that it said first', async () => {
    const outcome = await importFrom(
      database(),
      breaksOnce(bytes, cut, (response, start) => {
        const end = Math.min(start + 1_000_000, bytes.length);
        const contentRange = `bytes ${start}-${end - 1}/*`;
        sendPart(response, bytes, { start, end, contentRange });
      }),
    );
    await expectImage(outcome, bytes);
    expect(outcome.source.requests).toHaveLength(4);
  });

  test('and never said a whole size is read from its beginning', async () => {
    const outcome = await importFrom(database(), (request, response, number) => {
      if (number === 1) {
        response.writeHead(200, { etag: '"one"' });
        response.write(bytes.subarray(0, cut), () => response.socket?.end());
      } else if (request.headers.range === undefined) {
        response.writeHead(200, { etag: '"one"' }).end(bytes);
      } else {
        const contentRange = `bytes ${cut}-${cut + 9}/*`;
        sendPart(response, bytes, { start: cut, end: cut + 10, contentRange });
      }
    });
    await expectImage(outcome, bytes);
    expect(outcome.source.requests).toHaveLength(3);
  });

  test.skipIf(!hasProgram('qemu-img', 'qemu-utils'))('of a qcow2 likewise', async () => {
    const image = await makeQcow2Image();
    try {
      const outcome = await importFrom(
        database(),
        breaksOnce(image.bytes, 1_000_000, (response, start) => {
          sendPart(response, image.bytes, {
            start,
            end: Math.min(start + 500_000, image.bytes.length),
          });
        }),
        { diskFormat: 'QCOW2' },
      );
      await expectImage(outcome, image.bytes);
    } finally {
      await image.remove();
    }
  });

  test('goes on in parts after one of them breaks', async () => {
    let parts = 0;
    const outcome = await importFrom(
      database(),
      breaksOnce(bytes, cut, (response, start) => {
        parts += 1;
        const end = Math.min(start + 500_000, bytes.length);
        if (parts === 2) {
          response.writeHead(206, {
            etag: '"one"',
            'content-length': end - start,
            'content-range': `bytes ${start}-${end - 1}/${bytes.length}`,
          });
          response.write(bytes.subarray(start, start + 100_000), () => response.socket?.end());
        } else {
          sendPart(response, bytes, { start, end });
        }
      }),
    );
    await expectImage(outcome, bytes);
    expect(outcome.faults).toMatchObject([
      { reason: 'SOURCE_CUT_SHORT', offset: cut },
      { reason: 'SOURCE_CUT_SHORT', offset: cut + 600_000 },
    ]);
    expect(outcome.source.requests.at(3)?.headers.range).toBe(`bytes=${cut + 600_000}-`);
  });

  test('may send a small image byte by byte', async () => {
    const small = bytes.subarray(0, 40);
    const outcome = await importFrom(
      database(),
      breaksOnce(small, 8, (response, start) =>
        sendPart(response, small, { start, end: start + 1 }),
      ),
    );
    await expectImage(outcome, small);
    expect(outcome.source.requests).toHaveLength(33);
  });

  test('of a byte each is read from its beginning instead', async () => {
    const outcome = await importFrom(
      database(),
      breaksOnce(bytes, cut, (response, start) =>
        sendPart(response, bytes, { start, end: start + 1 }),
      ),
    );
    await expectImage(outcome, bytes);
    expect(outcome.faults).toHaveLength(1);
    expect(outcome.source.requests).toHaveLength(1 + 64 + 1);
  });

  test('of a byte each keeps nobody for ever if it cannot be read otherwise', async () => {
    const outcome = await importFrom(database(), (request, response, number) => {
      const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? -1);
      if (start < 0) {
        servesInPieces(bytes, Array<number>(1000).fill(cut))(request, response, number);
      } else {
        sendPart(response, bytes, { start, end: start + 1 });
      }
    });
    expect(outcome.last).toMatchObject({ reason: 'SOURCE_CUT_SHORT', fatal: true });
    expect(outcome.task).toMatchObject({ state: 'FAILED', committedSize: cut + 2 * 64 });
    expect(outcome.source.requests).toHaveLength(1 + 2 * 65);
  });
});

describe('a range that can be placed is taken', () => {
  test.each<[string, (response: ServerResponse, start: number) => void]>([
    ['the whole', (response) => sendPart(response, bytes, { start: 0, end: bytes.length })],
    [
      'one that begins before',
      (response, start) => sendPart(response, bytes, { start: start - 777, end: bytes.length }),
    ],
    [
      'one without an ETag',
      (response, start) => {
        response.writeHead(206, {
          'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}`,
        });
        response.end(bytes.subarray(start));
      },
    ],
  ])('%s', async (_, answer) => {
    const outcome = await importFrom(database(), breaksOnce(bytes, cut, answer));
    await expectImage(outcome, bytes);
    expect(outcome.source.requests).toHaveLength(2);
  });

  test('also where the whole was asked for', async () => {
    const outcome = await importFrom(database(), (request, response, number) => {
      const start = number === 1 ? 0 : Number(/\d+/.exec(request.headers.range ?? '')?.[0]);
      sendPart(response, bytes, { start, end: Math.min(start + 2_000_000, bytes.length) });
    });
    await expectImage(outcome, bytes);
    expect(outcome.task.faultCount).toBe(0);
  });

  test('unless nobody could ask for the rest of the same version', async () => {
    const { last, faults } = await importFrom(database(), (_, response) =>
      sendPart(response, bytes, { start: 0, end: 1000, etag: 'W/"one"' }),
    );
    expect(faults).toHaveLength(1);
    expect(last).toMatchObject({ reason: 'SOURCE_PROTOCOL_INVALID', fatal: true });
  });
});
