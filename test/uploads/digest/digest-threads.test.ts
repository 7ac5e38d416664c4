import { createHash } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { DigestPool } from '../../../src/uploads/digest/digest-pool.ts';

test('threads that start at the same time do not get in each other’s way', async () => {
  const pool = new DigestPool(8);
  onTestFinished(() => pool.close());
  const streams = Array.from({ length: 8 }, () => pool.open());
  const empty = createHash('sha256').digest('hex');
  expect(await Promise.all(streams.map((stream) => stream.result()))).toEqual(
    streams.map(() => ({ sha256: empty, sha512: undefined })),
  );
});
