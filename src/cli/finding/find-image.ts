import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { DarkroomError } from '../../client/exports.ts';
import { Image_State, type Image, type ImageFilterSchema } from '../../client/contract.ts';
import type { DarkroomClient } from '../../client/exports.ts';
import { quoted } from '../../domain/quoted.ts';
import { CommandFailure } from '../command-failure.ts';
import { exitCodes } from '../exit-codes.ts';
import { severalFailure } from './several.ts';
import { canonicalPrefix, isId, isIdPrefix, timesOfPrefix } from './id-text.ts';

type Filter = MessageInitShape<typeof ImageFilterSchema>;

/** The most that are told where more than one is meant. */
const mostTold = 8;

const anyState = [Image_State.QUEUED, Image_State.ACTIVE, Image_State.DELETED];

/**
 * The image that is meant by an id, a name, or the beginning of an id. A name goes before a beginning; of deleted images only the
 * id is taken, or its beginning.
 *
 * @throws CommandFailure where there is none, or more than one. @throws DarkroomError
 */
export async function findImage(
  client: Pick<DarkroomClient, 'images'>,
  text: string,
  signal: AbortSignal,
): Promise<Image> {
  const image = oneImage(text, await matchingImages(client, text, signal));
  if (image === undefined) {
    throw new CommandFailure(
      exitCodes.notFound,
      `there is no image ${quoted(text)}: darkroom images lists those that there are`,
    );
  }
  return image;
}

/** The only one of those that match, if any does. @throws CommandFailure where there are more */
export function oneImage(text: string, matching: readonly Image[]): Image | undefined {
  if (matching.length > 1) {
    throw severalFailure('image', text, matching);
  }
  return matching[0];
}

/** The images that may be meant, no more of them than are worth telling. @throws DarkroomError */
export async function matchingImages(
  { images }: Pick<DarkroomClient, 'images'>,
  text: string,
  signal: AbortSignal,
): Promise<readonly Image[]> {
  if (isId(text)) {
    const image = await byId(images, text.toLowerCase(), signal);
    return image === undefined ? [] : [image];
  }
  const found = await named(images, text, signal);
  return found.length > 0 || !isIdPrefix(text) ? found : beginningWith(images, text, signal);
}

async function byId(
  images: DarkroomClient['images'],
  imageId: string,
  signal: AbortSignal,
): Promise<Image | undefined> {
  try {
    return (await images.getImage({ imageId }, { signal })).image;
  } catch (error) {
    if (error instanceof DarkroomError && error.reason === 'IMAGE_NOT_FOUND') {
      return undefined;
    }
    throw error;
  }
}

async function named(
  images: DarkroomClient['images'],
  name: string,
  signal: AbortSignal,
): Promise<Image[]> {
  // A list refuses names that no image may have.
  if (name === '' || name.length > 255 || /[\r\n\t]/.test(name)) {
    return [];
  }
  const pages = await Promise.all(
    [false, true].map((hidden) =>
      images.listImages({ filter: { name, hidden }, pageSize: mostTold }, { signal }),
    ),
  );
  return pages.flatMap((page) => page.images);
}

async function beginningWith(
  images: DarkroomClient['images'],
  text: string,
  signal: AbortSignal,
): Promise<Image[]> {
  const prefix = canonicalPrefix(text);
  const times = timesOfPrefix(prefix);
  const filters: Filter[] = [false, true].map((hidden) => ({ states: anyState, hidden }));
  const within =
    times === undefined
      ? []
      : await scan(
          images,
          prefix,
          filters.map((filter) => ({
            ...filter,
            createdAfter: timestampFromDate(times.after),
            createdBefore: timestampFromDate(times.before),
          })),
          signal,
        );
  // Callers may choose the ids of images, and those need not begin with a time.
  return within.length > 0 ? within : scan(images, prefix, filters, signal);
}

async function scan(
  images: DarkroomClient['images'],
  prefix: string,
  filters: readonly Filter[],
  signal: AbortSignal,
): Promise<Image[]> {
  const found: Image[] = [];
  for (const filter of filters) {
    let pageToken = '';
    do {
      const page = await images.listImages({ filter, pageSize: 1000, pageToken }, { signal });
      found.push(...page.images.filter(({ id }) => id.startsWith(prefix)));
      pageToken = page.nextPageToken;
    } while (pageToken !== '' && found.length < mostTold);
  }
  return found.slice(0, mostTold);
}
