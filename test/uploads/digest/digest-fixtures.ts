import { onTestFinished } from 'vitest';
import { DigestPool } from '../../../src/uploads/digest/digest-pool.ts';
import type { Digests } from '../../../src/uploads/digest/digest-stream.ts';

/** The sha256 of no bytes. */
export const emptySha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** A pool of its own, which ends with the test. */
export function openPool(size = 1): DigestPool {
  const pool = new DigestPool(size);
  onTestFinished(() => pool.close());
  return pool;
}

/** A copy, as of bytes from the network: the digest may move its buffer away. */
export function received(data: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(data);
}

/** What a digest stream that was asked for nothing else answers. */
export function digestsOf(sha256: string): Digests {
  return { sha256, sha512: undefined };
}
