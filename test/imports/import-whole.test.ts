import { createHash, randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { hasProgram, makeQcow2Image, type DiskImageFile } from '../support/disk-images.ts';
import { useDatabase } from '../support/test-database.ts';
import { readImage } from '../support/upload-world.ts';
import { expectImage, importFrom, sha256Of } from './import-outcome.ts';
import { ended } from './import-world.ts';
import { breaksOnce, sendPart } from './range-answers.ts';
import { serves, servesInPieces, type SourceHandler } from './source-server.ts';

const database = useDatabase();
const bytes = randomBytes(4_194_304);
const cut = 2_097_152;

describe('no image is shorter than its source ever said', () => {
  test('a body without a length that ends before it as if it were whole is tried again', async () => {
    const outcome = await importFrom(database(), (request, response, number) => {
      if (number === 1) {
        servesInPieces(bytes, [cut], null)(request, response, number);
      } else {
        response.writeHead(200);
        response.end(number === 2 ? bytes.subarray(0, 3_000_000) : bytes);
      }
    });
    await expectImage(outcome, bytes);
    expect(outcome.faults).toMatchObject([
      { reason: 'SOURCE_CUT_SHORT', offset: cut },
      { reason: 'SOURCE_CUT_SHORT', offset: 3_000_000, fatal: false },
    ]);
    expect(outcome.last?.message).toContain('ended after 3000000 bytes as if that were all');
  });

  test('nor than was stated, where the end of a body is only the end of its connection', async () => {
    const outcome = await importFrom(
      database(),
      (_, response, number) => {
        response.socket?.write('HTTP/1.1 200 OK\r\n\r\n');
        response.socket?.end(number === 1 ? bytes.subarray(0, cut) : bytes);
      },
      { stated: { totalSize: bytes.length } },
    );
    await expectImage(outcome, bytes);
    expect(outcome.faults).toMatchObject([{ reason: 'SOURCE_CUT_SHORT', fatal: false }]);
  });

  test.each([
    ['with a range', 206],
    ['with a refusal', 416],
  ])('a larger size that it told %s is not forgotten', async (_, status) => {
    const longer = bytes.length + 1000;
    const outcome = await importFrom(
      database(),
      breaksOnce(bytes, cut, (response, start) => {
        if (status === 206) {
          const contentRange = `bytes ${start}-${bytes.length - 1}/${longer}`;
          sendPart(response, bytes, { start, end: bytes.length, contentRange });
        } else {
          response.writeHead(416, { 'content-range': `bytes */${longer}` }).end();
        }
      }),
    );
    expect(outcome.task.state).toBe('FAILED');
    expect(outcome.last).toMatchObject({ reason: 'SOURCE_CHANGED', fatal: true });
    expect(outcome.last?.message).toContain(`said that it has ${longer} bytes`);
  });

  test('but a digest that was stated decides where its sizes contradict each other', async () => {
    const outcome = await importFrom(
      database(),
      breaksOnce(bytes, cut, (response) =>
        response.writeHead(416, { 'content-range': 'bytes */99999999' }).end(),
      ),
      { stated: { sha256: sha256Of(bytes) } },
    );
    await expectImage(outcome, bytes);
  });

  test.each([
    ['the same version with fewer bytes', '"one"', 'FAILED'],
    ['another version, of which nothing was there', '"two"', 'SUCCEEDED'],
  ])('%s, after an answer without a byte', async (_, etag, state) => {
    const shorter = bytes.subarray(0, 1000);
    const outcome = await importFrom(database(), (request, response, number) =>
      number === 1
        ? servesInPieces(bytes, [0])(request, response, number)
        : serves(shorter, etag)(request, response, number),
    );
    expect(outcome.task.state).toBe(state);
  });
});

describe.runIf(hasProgram('qemu-img', 'qemu-utils'))(
  'a qcow2 that ends too soon by its own tables',
  () => {
    const cutOff: SourceHandler = (_, response) => {
      response.writeHead(200);
      response.end(qcow2.bytes.subarray(0, qcow2.bytes.length - 200_000));
    };
    let qcow2: DiskImageFile;
    beforeAll(async () => {
      qcow2 = await makeQcow2Image();
      return () => qcow2.remove();
    });

    test('is no image, though nobody said its size', async () => {
      const { task, imageId, faults } = await importFrom(database(), cutOff, {
        diskFormat: 'QCOW2',
      });
      expect(task.state).toBe('FAILED');
      expect(faults).toMatchObject([{ reason: 'FORMAT_MISMATCH', fatal: true }]);
      expect(faults[0]?.message).toContain('it is cut short');
      expect(await readImage(database(), imageId)).toMatchObject({ state: 'QUEUED' });
    });

    test('is taken with a fault where that is set', async () => {
      const { task, faults } = await importFrom(database(), cutOff, {
        diskFormat: 'QCOW2',
        env: { DARKROOM_FORMAT_CHECK: 'record' },
      });
      expect(task.state).toBe('SUCCEEDED');
      expect(faults).toMatchObject([{ reason: 'FORMAT_MISMATCH', fatal: false }]);
    });
  },
);

describe('a body of no bytes', () => {
  test.each<[string, SourceHandler]>([
    ['with a length of 0', (_, response) => response.writeHead(200, { etag: '"0"' }).end()],
    [
      'in chunks',
      (_, response) => {
        response.writeHead(200);
        response.write('');
        response.end();
      },
    ],
  ])('%s is no image', async (_, handler) => {
    const { task, imageId, faults } = await importFrom(database(), handler);
    expect(task.state).toBe('FAILED');
    expect(faults).toMatchObject([{ reason: 'SOURCE_EMPTY', fatal: true, code: 9 }]);
    expect(await readImage(database(), imageId)).toMatchObject({ state: 'QUEUED' });
  });

  test('is no qcow2 either, whatever is made of other formats that are wrong', async () => {
    const { task, faults } = await importFrom(database(), serves(new Uint8Array(0)), {
      diskFormat: 'QCOW2',
      env: { DARKROOM_FORMAT_CHECK: 'record' },
    });
    expect(task.state).toBe('FAILED');
    expect(faults).toMatchObject([{ reason: 'FORMAT_MISMATCH', fatal: true }]);
    expect(faults[0]?.message).toMatch(/has no bytes\. The image is declared as QCOW2/);
  });

  test('is none by RetryTask either, though the source said its size', async () => {
    const outcome = await importFrom(database(), serves(new Uint8Array(0)));
    const again = await ended(database(), await outcome.world.retry(outcome.task.id));
    expect(again.state).toBe('FAILED');
    expect(outcome.source.requests).toHaveLength(2);
  });

  test.each([
    ['the size 0', { totalSize: 0 }],
    ['its sha256', { sha256: sha256Of(new Uint8Array(0)) }],
    ['its sha512', { sha512: createHash('sha512').digest('hex') }],
  ])('is one if %s was stated, and can be copied', async (_, stated) => {
    const outcome = await importFrom(database(), serves(new Uint8Array(0)), { stated });
    await expectImage(outcome, new Uint8Array(0));
    const { imageId } = outcome;
    const copy = await outcome.world.create({ from: { kind: 'image', imageId } });
    expect((await ended(database(), copy.taskId)).state).toBe('SUCCEEDED');
  });
});
