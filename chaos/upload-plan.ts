import type { Random } from './random.ts';
import { drawImage, type ImageContent } from './image-content.ts';

/**
 * How an upload is meant to end. All but the first leave an image that is honestly not ACTIVE:
 * its task says why.
 */
export type Fate =
  'complete' | 'wrong digest' | 'cancelled' | 'reported' | 'deleted' | 'left alone';

/** What a client is to do. */
export interface UploadPlan {
  readonly name: string;
  readonly content: ImageContent;
  /** What CreateImage is told of the whole. */
  readonly stated: { readonly totalSize?: bigint; readonly sha256?: string };
  /** The sha256 that the finish tells. */
  readonly finishDigest?: string;
  readonly fate: Fate;
  /** Where in the image a fate that cuts the upload short comes, in bytes. */
  readonly fateAt: number;
  /** By which calls the bytes go. */
  readonly road: 'stream' | 'unary' | 'both';
  /** Whether a second client brings the same bytes in competition. */
  readonly hasRival: boolean;
  /** ms that an undisturbed upload takes. */
  readonly paceMs: number;
}

/** Draws what a client does. */
export function drawPlan(random: Random, name: string, maxBytes: number): UploadPlan {
  const content = drawImage(random, maxBytes);
  const size = content.bytes.length;
  const fate = random.weighted<Fate>([
    [30, 'complete'],
    [2, 'wrong digest'],
    // An empty image cannot be left in its middle.
    ...(['cancelled', 'reported', 'deleted', 'left alone'] as const).map(
      (early) => [size === 0 ? 0 : 1, early] as const,
    ),
  ]);
  const isWrong = fate === 'wrong digest';
  const digest = isWrong ? otherDigest(content.sha256) : content.sha256;
  const isStated = random.chance(0.4);
  const isFinished = isWrong ? !isStated : random.chance(0.4);
  return {
    name,
    content,
    stated: {
      ...(random.chance(0.5) ? { totalSize: BigInt(size) } : {}),
      ...(isStated ? { sha256: digest } : {}),
    },
    ...(isFinished ? { finishDigest: digest } : {}),
    fate,
    fateAt: random.int(0, Math.max(0, size - 1)),
    road: random.weighted([
      [5, 'stream'],
      [2, 'unary'],
      [2, 'both'],
    ]),
    hasRival: fate === 'complete' && random.chance(0.15),
    paceMs: random.int(100, 1500),
  };
}

/** A digest of other bytes. */
function otherDigest(sha256: string): string {
  return sha256.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
}
