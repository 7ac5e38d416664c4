import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { useDatabase } from '../support/test-database.ts';
import { download, readTask } from '../support/upload-world.ts';
import { expectImage, importFrom } from './import-outcome.ts';
import { ended, openImportWorld } from './import-world.ts';
import { breaksOnce, sendPart } from './range-answers.ts';
import { servesInPieces, startSource } from './source-server.ts';

const database = useDatabase();
const bytes = randomBytes(4_194_304);
const cut = 2_097_152;

describe('versions of a source', () => {
  test('that differ only in name, as those of mirrors do, are compared and gone on with', async () => {
    const outcome = await importFrom(database(), (request, response, number) => {
      const mirror = number === 1 ? '"one"' : '"two"';
      servesInPieces(bytes, [cut, 3_000_000], mirror)(request, response, number);
    });
    await expectImage(outcome, bytes);
    expect(outcome.source.requests.map(({ headers }) => headers['if-range'])).toEqual([
      undefined,
      '"one"',
      '"two"',
    ]);
    expect(outcome.source.requests[2]?.headers.range).toBe('bytes=3000000-');
  });

  test('are not mixed where one begins as the other does', async () => {
    const other = Buffer.concat([bytes.subarray(0, 2_500_000), randomBytes(1_694_304)]);
    const outcome = await importFrom(database(), (request, response, number) => {
      if (number === 2) {
        servesInPieces(other, [0, 3_000_000], '"two"')(request, response, number);
      } else {
        servesInPieces(bytes, [cut], '"one"')(request, response, number);
      }
    });
    expect(outcome.task.state).toBe('FAILED');
    expect(outcome.last).toMatchObject({ reason: 'SOURCE_CHANGED', fatal: true });
  });

  test('are still the old one while the new one is compared', async () => {
    const outcome = await importFrom(database(), (request, response, number) => {
      if (number === 2) {
        servesInPieces(randomTail(bytes, 1_500_000), [0, 1_000_000], '"two"')(request, response, 2);
      } else {
        servesInPieces(bytes, [cut], '"one"')(request, response, number);
      }
    });
    await expectImage(outcome, bytes);
    expect(outcome.source.requests[2]?.headers).toMatchObject({
      range: `bytes=${cut}-`,
      'if-range': '"one"',
    });
  });

  test('are not told apart by a date beside a weak ETag', async () => {
    const outcome = await importFrom(database(), (request, response, number) => {
      response.setHeader('last-modified', 'Wed, 01 Oct 2025 07:28:00 GMT');
      servesInPieces(bytes, [cut], 'W/"one"')(request, response, number);
    });
    await expectImage(outcome, bytes);
    expect(outcome.source.requests[1]?.headers.range).toBeUndefined();
  });

  test('are taken over from a process that stopped between two parts', async () => {
    const first = await openImportWorld(database());
    const halted = Promise.withResolvers<void>();
    let isCalm = false;
    const source = await startSource(
      breaksOnce(bytes, cut, (response, start) => {
        if (start === cut || isCalm) {
          sendPart(response, bytes, { start, end: Math.min(start + 700_000, bytes.length) });
        } else {
          halted.resolve();
        }
      }),
    );
    const { imageId, taskId } = await first.create(source.origin);
    await halted.promise;
    first.imports.claimNoMore();
    await first.uploads.drain();
    expect(await readTask(database(), taskId)).toMatchObject({ committedSize: cut + 700_000 });
    isCalm = true;
    const second = await openImportWorld(database(), { folder: first.folder });
    expect((await ended(database(), taskId)).state).toBe('SUCCEEDED');
    expect((await download(second, imageId)).equals(bytes)).toBe(true);
  });
});

function randomTail(data: Uint8Array, start: number): Buffer {
  return Buffer.concat([data.subarray(0, start), randomBytes(data.byteLength - start)]);
}
