import type { Digests } from '../../src/uploads/digest/digest-stream.ts';

/** What a digest stream that was asked for nothing else answers. */
export function digestsOf(sha256: string): Digests {
  return { sha256, sha512: undefined };
}
