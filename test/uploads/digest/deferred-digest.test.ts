import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DeferredDigest } from '../../../src/uploads/digest/deferred-digest.ts';
import type { DigestStream, DigestWishes } from '../../../src/uploads/digest/digest-stream.ts';
import { sha256 } from '../../support/upload-world.ts';
import { openPool, received } from './digest-fixtures.ts';

const sha512 = (data: Uint8Array): string => createHash('sha512').update(data).digest('hex');

/** A digest, and how many threads it has asked for. */
function deferred(wishes: DigestWishes = { sha512: false }) {
  const pool = openPool();
  const threads: DigestStream[] = [];
  const digest = new DeferredDigest(wishes, () => {
    const stream = pool.open(wishes);
    threads.push(stream);
    return stream;
  });
  return { digest, threads };
}

test('a few bytes are digested without a thread, again and again, as they come', async () => {
  const { digest, threads } = deferred({ sha512: true });
  const data = randomBytes(65_536);
  for (const [start, end] of [
    [0, 0],
    [0, 10],
    [10, 60_000],
    [60_000, 65_536],
  ] as const) {
    await digest.update(received(data.subarray(start, end)));
    const all = data.subarray(0, end);
    expect(await digest.result()).toEqual({ sha256: sha256(all), sha512: sha512(all) });
  }
  expect(threads).toEqual([]);
});

test('whatever comes in whatever pieces has its digest', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 70_000 }), { maxLength: 6 }),
      fc.boolean(),
      async (sizes, asksOnTheWay) => {
        const { digest, threads } = deferred();
        const pieces = sizes.map((size) => randomBytes(size));
        for (const piece of pieces) {
          await digest.update(received(piece));
          if (asksOnTheWay) {
            await digest.result();
          }
        }
        const all = Buffer.concat(pieces);
        expect((await digest.result()).sha256).toBe(sha256(all));
        expect(threads).toHaveLength(all.length > 65_536 ? 1 : 0);
        digest.close();
      },
    ),
    { numRuns: 30 },
  );
});

test('one that is closed answers nothing more, with a thread or without', async () => {
  for (const size of [100, 100_000]) {
    const { digest } = deferred();
    await digest.update(received(randomBytes(size)));
    digest.close();
    await expect(digest.result()).rejects.toThrow('closed');
  }
});

test('one is lost only with the thread that has its bytes', async () => {
  const pool = openPool();
  const digest = new DeferredDigest({ sha512: false }, () => pool.open());
  await digest.update(received(randomBytes(100)));
  await pool.close();
  expect(digest.isLost).toBe(false);
  await digest.update(received(randomBytes(100_000)));
  expect(digest.isLost).toBe(false);
  await pool.close();
  await expect(digest.result()).rejects.toThrow();
  expect(digest.isLost).toBe(true);
});
