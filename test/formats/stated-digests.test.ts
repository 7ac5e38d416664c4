import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { StatedDigest } from '../../src/formats/inspect-image.ts';
import { checkStatedDigests } from '../../src/formats/stated-digests.ts';
import { as, PrefixSource } from './inspections.ts';

const MiB = 1024 * 1024;
const bytes = randomBytes(5 * MiB + 77);
const declared = as('VMDK', 'OVA');

function stated(algorithm: string, offset: number, size: number): StatedDigest {
  const digest = createHash(algorithm)
    .update(bytes.subarray(offset, offset + size))
    .digest('hex');
  return { name: `${offset}.vmdk`, offset, size, algorithm, digest };
}

const right = [
  stated('sha256', 0, bytes.length),
  stated('sha1', 100, 3 * MiB),
  stated('sha512', MiB, 0),
  stated('md5', 5 * MiB, 77),
];

function check(digests: readonly StatedDigest[], onRead: (bytes: number) => void = () => {}) {
  const source = new PrefixSource(bytes);
  return checkStatedDigests(declared, digests, (offset, size) => source.read(offset, size), onRead);
}

describe('digests that an image states of its parts', () => {
  test('are right or not, by any algorithm, and it is told how much was read', async () => {
    let read = 0;
    expect(await check(right, (more) => (read += more))).toBeUndefined();
    expect(read).toBe(right.reduce((sum, { size }) => sum + size, 0));
    const wrong = { ...right[1]!, offset: 101 };
    expect(await check([right[0]!, wrong, right[2]!])).toMatchObject({
      kind: 'refused',
      reason: 'FORMAT_MISMATCH',
      found: 'wrong digest',
      message: expect.stringContaining('"100.vmdk"'),
    });
  });

  test('of many images are checked at once', async () => {
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        check(index % 2 === 0 ? right : [{ ...right[0]!, offset: 1, size: 5 * MiB }]),
      ),
    );
    expect(results.map((refused) => refused?.found)).toEqual(
      Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? undefined : 'wrong digest')),
    );
  });

  test('fail with what reading fails with, and not for the others', async () => {
    const broken = checkStatedDigests(
      declared,
      right,
      () => Promise.reject(new Error('the disk is gone')),
      () => {},
    );
    const [other] = await Promise.all([
      check(right),
      expect(broken).rejects.toThrow('the disk is gone'),
    ]);
    expect(other).toBeUndefined();
    expect(await check(right)).toBeUndefined();
  });
});
