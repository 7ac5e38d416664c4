import type { Database } from '../database/database.ts';
import { findSeenImage } from '../access/find-image.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { ImageId } from '../records/ids.ts';
import { Image } from '../records/image.ts';
import { BlobReader } from '../storage/blob-reader.ts';
import type { BlobStore } from '../storage/blob-store.ts';
import { segmentsForProject } from '../storage/published-segments.ts';
import type { OpenedSource } from './opened-source.ts';
import { SourceFailure } from './source-failure.ts';
import { nameOfImage } from './source-name.ts';

const readBytes = 1024 * 1024;
/** Opened at once, so that the copy goes on if the image is deleted meanwhile. */
const openSegments = 64;

/** What another image is read with. */
export interface ImageSourceParts {
  readonly database: Database;
  readonly store: BlobStore;
}

/**
 * Opens another image of the service, to be copied from `start` on. An image's bytes never change, so the
 * rest of it always is the rest. Whether the project of the copy may see it is asked each time: it may have been
 * shared no more since the copy was ordered.
 *
 * @param copyId the image that its bytes are for.
 * @throws DarkroomError SOURCE_IMAGE_GONE, a storage error.
 */
export async function openImageSource(
  { database, store }: ImageSourceParts,
  id: ImageId,
  copyId: ImageId,
  start: number,
): Promise<OpenedSource> {
  const name = nameOfImage(id);
  const em = database.fork();
  const copy = await em.findOne(Image, { id: copyId });
  if (copy === null) {
    throw imageGone(name);
  }
  const image = await findSeenImage(em, copy.projectId, id);
  if (image?.state !== 'ACTIVE' || image.deactivated || !image.blobId || image.sizeBytes == null) {
    throw imageGone(name);
  }
  const { sizeBytes: size } = image;
  const segments = await segmentsForProject(database, copy.projectId, image.blobId);
  if (segments.length === 0 && size > 0) {
    // Deleted, or not shared any more, since it was found.
    throw imageGone(name);
  }
  const reader = new BlobReader(store, segments, { maxOpen: openSegments });
  await reader.open(start, size);
  let position = start;
  return {
    name,
    redirectedFrom: undefined,
    start,
    end: undefined,
    size,
    validator: image.sha256 ?? undefined,
    isOfOtherVersion: (validator) => validator !== image.sha256,
    body: {
      async next() {
        if (position >= size) {
          return { done: true, value: undefined };
        }
        const data = Buffer.allocUnsafe(Math.min(readBytes, size - position));
        try {
          await reader.read(position, data);
        } catch (error) {
          const isGone = error instanceof DarkroomError && error.reason === 'STORED_BYTES_LOST';
          throw isGone ? imageGone(name) : error;
        }
        position += data.byteLength;
        return { done: false, value: data };
      },
    },
    bytesReceived: () => position,
    close: () => void reader.close(),
  };
}

function imageGone(name: string): SourceFailure {
  return new SourceFailure(
    'SOURCE_IMAGE_GONE',
    `The source, ${name}, is not there for this project any more: it was deleted or deactivated, or is shared no more. Copy another one.`,
    { mayPass: false },
  );
}
