import { DarkroomError } from '../domain/darkroom-error.ts';
import { etagOf } from '../records/image-etag.ts';
import type { Image } from '../records/image.ts';

/**
 * Makes sure that an image is as it was when its caller read it; an empty etag agrees with any. The
 * image must be locked.
 *
 * @throws DarkroomError ETAG_MISMATCH
 */
export function requireEtag(image: Image, etag: string): void {
  if (etag !== '' && etag !== etagOf(image)) {
    throw new DarkroomError(
      'ETAG_MISMATCH',
      `Image ${image.id} was changed since this etag was read, last at ` +
        `${image.updateTime.toISOString()}. Read the image and decide again, with its new etag.`,
      { metadata: { image_id: image.id } },
    );
  }
}
