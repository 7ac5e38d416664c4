import type { EntityManager } from '@mikro-orm/postgresql';
import type { Caller } from '../access/caller.ts';
import { visibleProject } from '../access/rights.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { FieldChecks } from '../domain/field-checks.ts';
import { parseId, type ImageId } from '../records/ids.ts';
import { findSeenImage, imageDeactivated, imageNotFound } from '../access/find-image.ts';
import { checkSha512, checkSize } from '../records/field-limits.ts';
import type { CopyFromRequest } from './copy-from-request.ts';
import type { Image } from '../records/image.ts';
import { ImportOrder } from '../records/import-order.ts';
import type { ReachPolicy } from './reach-policy.ts';
import { checkSourceHeaders } from './source-headers.ts';
import type { SecretKeys } from '../secrets/secret-keys.ts';
import { sealOrder } from './sealed-orders.ts';
import { nameOfImage, nameOfUrl } from './source-name.ts';

/** What the service is asked to fetch, checked. */
export interface NewOrder {
  readonly url: string | null;
  readonly sourceImageId: ImageId | null;
  readonly headers: Record<string, string>;
  readonly maxSize: number | null;
  /** For people, without what may be secret. */
  readonly name: string;
}

/**
 * Checks what is to be fetched; undefined where a violation was noted.
 *
 * @throws DarkroomError SOURCE_FORBIDDEN, SOURCE_SCHEME_UNSUPPORTED.
 */
export function parseOrder(
  checks: FieldChecks,
  { from, sha512, maxSizeBytes, headers }: CopyFromRequest,
  maxImageBytes: number,
  reach: ReachPolicy,
): NewOrder | undefined {
  if (sha512 !== undefined) {
    checkSha512(checks, 'copy_from.sha512', sha512);
  }
  if (maxSizeBytes !== undefined) {
    checkSize(checks, 'copy_from.max_size_bytes', maxSizeBytes, maxImageBytes);
  }
  checkSourceHeaders(checks, 'copy_from.headers', headers);
  const maxSize = maxSizeBytes ?? null;
  switch (from?.kind) {
    case 'url': {
      const url = checks.attempt(() => reach.parse(from.url, 'copy_from.url'));
      const name = url && nameOfUrl(url);
      return name === undefined
        ? undefined
        : { url: from.url, sourceImageId: null, headers: { ...headers }, maxSize, name };
    }
    case 'image': {
      if (Object.keys(headers).length > 0) {
        checks.add('copy_from.headers', 'must be empty for a copy of an image: they are for a url');
      }
      const id = checks.attempt(() => parseId<ImageId>(from.imageId, 'copy_from.image_id'));
      const name = id && nameOfImage(id);
      return name === undefined
        ? undefined
        : { url: null, sourceImageId: id ?? null, headers: {}, maxSize, name };
    }
    case undefined:
      checks.add('copy_from', 'must have a url or an image_id');
      return undefined;
  }
}

/**
 * Writes down what the service is to fetch for an image that is being made. Answers the image that is
 * copied, if it is one.
 *
 * @throws DarkroomError IMAGE_NOT_FOUND, IMAGE_STATE_INVALID, IMAGE_DEACTIVATED: whose bytes not all may have, of that no copy is made.
 */
export async function placeOrder(
  em: EntityManager,
  keys: SecretKeys,
  caller: Caller,
  imageId: ImageId,
  { url, sourceImageId, headers, maxSize }: NewOrder,
  now: Date,
): Promise<Image | undefined> {
  const copied =
    sourceImageId === null
      ? undefined
      : await findSeenImage(em, visibleProject(caller), sourceImageId);
  if (sourceImageId !== null && !copied) {
    throw imageNotFound(sourceImageId);
  }
  if (copied && copied.state !== 'ACTIVE') {
    throw new DarkroomError(
      'IMAGE_STATE_INVALID',
      `Image ${copied.id} is ${copied.state}, and only an ACTIVE one has bytes to copy.`,
      { metadata: { image_id: copied.id, state: copied.state } },
    );
  }
  if (copied?.deactivated === true) {
    throw imageDeactivated(copied);
  }
  em.persist(
    em.create(ImportOrder, {
      imageId,
      sourceImageId,
      ...sealOrder(keys, imageId, { url, headers }),
      maxSize,
      tries: 0,
      nextTryTime: now,
    }),
  );
  return copied;
}
