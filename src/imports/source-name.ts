import type { ImageId } from '../records/ids.ts';
import type { ImportOrder } from '../records/import-order.ts';

const longestPath = 200;

/** A source's address for people: without its query and fragment, which may hold secrets such as a signature. */
export function nameOfUrl(url: URL): string {
  const { origin, pathname, search } = url;
  const path = pathname.length > longestPath ? `${pathname.slice(0, longestPath)}…` : pathname;
  return `${origin}${path}${search === '' ? '' : '?…'}`;
}

/** The name for people of what an order fetches. */
export function nameOfOrder({
  url,
  sourceImageId,
}: Pick<ImportOrder, 'url' | 'sourceImageId'>): string {
  return sourceImageId == null ? nameOfUrl(new URL(url ?? '')) : nameOfImage(sourceImageId);
}

/** A source image's name for people. */
export function nameOfImage(id: ImageId): string {
  return `image ${id}`;
}
