import { z } from 'zod';
import { imageShape, type GlanceImage } from './glance-image.ts';
import type { ImageApi } from './image-api.ts';

/** Which images of Glance's are meant; all that the caller sees where nothing is said. */
export interface ImageSelection {
  readonly ids: readonly string[];
  readonly owners: readonly string[];
  readonly visibilities: readonly string[];
}

const pageShape = z.object({ images: z.array(imageShape), next: z.string().optional() });
const pageSize = '100';

/**
 * The images that are meant, oldest first, in pages, each once.
 *
 * @throws ApiFailure; an Error with a code, of the network.
 */
export async function* listImages(
  source: ImageApi,
  { ids, owners, visibilities }: ImageSelection,
): AsyncGenerator<GlanceImage, void> {
  const isMeant = ({ owner, visibility }: GlanceImage): boolean =>
    (owners.length === 0 || owners.includes(owner ?? '')) &&
    (visibilities.length === 0 || visibilities.includes(visibility));
  if (ids.length > 0) {
    for (const id of new Set(ids)) {
      const { body } = await source.ask('GET', `/v2/images/${encodeURIComponent(id)}`);
      yield* [imageShape.parse(body)].filter(isMeant);
    }
    return;
  }
  const seen = new Set<string>();
  // Images that are hidden are in no list but their own.
  for (const hidden of ['false', 'true']) {
    let query: string | undefined = new URLSearchParams({
      limit: pageSize,
      sort_key: 'created_at',
      sort_dir: 'asc',
      os_hidden: hidden,
      member_status: 'all',
      // Else Glance leaves out what is shown to all, but advertised to nobody.
      visibility: 'all',
    }).toString();
    while (query !== undefined) {
      const page: z.infer<typeof pageShape> = pageShape.parse(
        (await source.ask('GET', `/v2/images?${query}`)).body,
      );
      for (const image of page.images.filter(isMeant)) {
        if (!seen.has(image.id)) {
          seen.add(image.id);
          yield image;
        }
      }
      query = page.next?.split('?')[1];
    }
  }
}
