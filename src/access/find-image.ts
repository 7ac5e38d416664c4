import { LockMode } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../database/database.ts';
import type { Caller } from './caller.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { ImageId } from '../records/ids.ts';
import { readRow } from '../database/entity-rows.ts';
import { etagOf } from '../records/image-etag.ts';
import { Image } from '../records/image.ts';

/**
 * Reads an image of the caller's project, a deleted one too.
 *
 * @throws DarkroomError IMAGE_NOT_FOUND, for another project's as for one that does not exist.
 */
export async function findImage(em: EntityManager, caller: Caller, id: ImageId): Promise<Image> {
  const image = await em.findOne(Image, { id, projectId: caller.projectId });
  return image ?? throwNotFound(id);
}

/**
 * The same, not tracked by any unit of work.
 *
 * @throws DarkroomError IMAGE_NOT_FOUND
 */
export async function readImage(
  database: Database,
  caller: Caller,
  id: ImageId,
): Promise<Readonly<Image>> {
  const values = [id, caller.projectId];
  const image = await readRow(database, Image, 'id = $1 and project_id = $2', values);
  return image ?? throwNotFound(id);
}

/**
 * As `findImage`, holding the image's lock until the transaction ends. Tasks are locked after their image,
 * never before it.
 *
 * @throws DarkroomError IMAGE_NOT_FOUND
 */
export async function lockImage(em: EntityManager, caller: Caller, id: ImageId): Promise<Image> {
  const image = await em.findOne(
    Image,
    { id, projectId: caller.projectId },
    { lockMode: LockMode.PESSIMISTIC_WRITE },
  );
  return image ?? throwNotFound(id);
}

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

function throwNotFound(id: ImageId): never {
  throw new DarkroomError('IMAGE_NOT_FOUND', `There is no image ${id} in this project.`, {
    metadata: { image_id: id },
  });
}
