import { DarkroomError, invalidField } from '../../domain/darkroom-error.ts';
import type { Digests } from '../digest/digest-stream.ts';

/** What a finish claims. */
export interface FinishClaim {
  /** Bytes of the whole image. */
  readonly totalSize: number;
  /** Lower-case hex. */
  readonly sha256: string | undefined;
}

/** What is known of the image that a finish is held against. */
export interface FinishFacts {
  /** Bytes that have come. */
  readonly received: number;
  /** What the creator of the task stated. */
  readonly expectedSize: number | null;
  readonly expectedSha256: string | null;
  readonly expectedSha512: string | null;
}

/**
 * Checks a finish by itself, and answers it as it is held: a sha256 may come in either case.
 *
 * @param path of the finish in the request, for field violations.
 * @throws DarkroomError FIELD_INVALID.
 */
export function soundClaim({ totalSize, sha256 }: FinishClaim, path: string): FinishClaim {
  if (!Number.isSafeInteger(totalSize) || totalSize < 0) {
    throw invalidField(`${path}.total_size`, 'must be 0 or more bytes, below 2^53');
  }
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256)) {
    throw invalidField(`${path}.sha256`, 'must be 64 hex digits');
  }
  return { totalSize, sha256: sha256?.toLowerCase() };
}

/**
 * A finish says that all bytes were sent: one that contradicts what came, or what was stated before,
 * ends the attempt at once, so that whoever waits for the image learns it at once.
 *
 * @throws DarkroomError SIZE_SHORT, SIZE_EXCEEDED.
 */
export function assertClaimedSize({ totalSize }: FinishClaim, facts: FinishFacts): void {
  if (totalSize > facts.received) {
    throw new DarkroomError(
      'SIZE_SHORT',
      `The finish says ${totalSize} bytes, and only ${facts.received} have come. RetryTask goes on from there.`,
    );
  }
  if (totalSize < facts.received) {
    throw new DarkroomError(
      'SIZE_EXCEEDED',
      `The finish says ${totalSize} bytes, and ${facts.received} have come. Retry with the right size.`,
    );
  }
  if (facts.expectedSize !== null && totalSize < facts.expectedSize) {
    throw new DarkroomError(
      'SIZE_SHORT',
      `The image was said to have ${facts.expectedSize} bytes, and the finish says ${totalSize}. ` +
        'RetryTask goes on from there.',
    );
  }
}

/** @throws DarkroomError DIGEST_MISMATCH unless the digests are what was stated, wherever it was. */
export function assertClaimedDigest(
  { sha256, sha512 }: Digests,
  claim: FinishClaim,
  facts: FinishFacts,
): void {
  for (const [algorithm, digest, stated] of [
    ['sha256', sha256, facts.expectedSha256],
    ['sha256', sha256, claim.sha256],
    ['sha512', sha512, facts.expectedSha512],
  ] as const) {
    if (stated && stated !== digest) {
      throw new DarkroomError(
        'DIGEST_MISMATCH',
        `The ${algorithm} of the ${claim.totalSize} bytes is ${digest}, not ${stated} as was stated: the bytes were ` +
          'altered on the way, or the statement is wrong. RetryTask begins from the first byte.',
        { metadata: { [algorithm]: digest ?? '', [`stated_${algorithm}`]: stated } },
      );
    }
  }
}
