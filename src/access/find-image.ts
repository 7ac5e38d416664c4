import { LockMode } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../database/database.ts';
import type { Caller } from './caller.ts';
import { maySee, visibleProject } from './rights.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { ImageId } from '../records/ids.ts';
import { rowsById } from '../database/rows-by-id.ts';
import { Image } from '../records/image.ts';

/**
 * Reads an image that the caller may see, a deleted one too.
 *
 * @throws DarkroomError IMAGE_NOT_FOUND, for another project's as for one that does not exist.
 */
export async function findImage(em: EntityManager, caller: Caller, id: ImageId): Promise<Image> {
  const image = await em.findOne(Image, { id, projectId: visibleProject(caller) });
  return image ?? throwNotFound(id);
}

/**
 * The same, together with what others read just then, and not tracked by any unit of work.
 *
 * @throws DarkroomError IMAGE_NOT_FOUND
 */
export async function readImage(
  database: Database,
  caller: Caller,
  id: ImageId,
): Promise<Readonly<Image>> {
  const image = await rowsById(database, Image).read(id);
  return image && maySee(caller, image) ? image : throwNotFound(id);
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
    { id, projectId: visibleProject(caller) },
    { lockMode: LockMode.PESSIMISTIC_WRITE },
  );
  return image ?? throwNotFound(id);
}

function throwNotFound(id: ImageId): never {
  throw new DarkroomError('IMAGE_NOT_FOUND', `There is no image ${id} in this project.`, {
    metadata: { image_id: id },
  });
}
