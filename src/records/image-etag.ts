import type { Image } from './image.ts';

/** The etag of an image as it is: opaque to callers, another one after every change. */
export function etagOf(image: Pick<Image, 'id' | 'version'>): string {
  // The id keeps the etag of one image from being taken for another's.
  return Buffer.from(`${image.id}/${image.version}`).toString('base64url');
}
