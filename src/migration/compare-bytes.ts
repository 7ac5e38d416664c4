import { createHash } from 'node:crypto';
import { ApiFailure } from './api-failure.ts';
import type { GlanceImage } from './glance-image.ts';
import type { ImageApi } from './image-api.ts';
import { compareDigests, SourceDigests, type WholeDigests } from './source-digests.ts';

/** What is found of an image that has its bytes already. */
export type Comparison =
  | {
      readonly kind: 'same';
      readonly verified: 'read back' | 'by size';
      readonly digests: WholeDigests | undefined;
    }
  | { readonly kind: 'other'; readonly what: string };

/**
 * Reads an image of Darkroom's, and holds its bytes against the digests that Glance states. Glance states none that Darkroom keeps.
 *
 * @throws ApiFailure; an Error with a code, of the network.
 */
export async function compareBytes(target: ImageApi, image: GlanceImage): Promise<Comparison> {
  const digests = new SourceDigests(image);
  let size = 0;
  try {
    const stream = await target.read(`/v2/images/${image.id}/file`, {});
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.length;
      digests.update(chunk);
    }
  } catch (error) {
    if (error instanceof ApiFailure && error.status === 403) {
      return { kind: 'same', verified: 'by size', digests: undefined };
    }
    throw error;
  }
  const whole = digests.digest();
  const { agree, differ } = compareDigests(whole, image);
  return differ.length > 0 || size !== image.size
    ? { kind: 'other', what: `other bytes: the ${['size', ...differ].at(-1)} differs` }
    : { kind: 'same', verified: agree.length > 0 ? 'read back' : 'by size', digests: whole };
}

/** What makes an image of Glance's the same when it is looked at again. */
export function stateOf(image: GlanceImage): string {
  const { size, checksum, os_hash_algo: algorithm, os_hash_value: value } = image;
  return createHash('sha256')
    .update(JSON.stringify([size, checksum, algorithm, value]))
    .digest('hex');
}
