import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../database/database.ts';
import type { Caller } from './caller.ts';
import { imageIsSeen, isOwn, visibleProject } from './rights.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { ImageId } from '../records/ids.ts';
import { columnNames, type RawRow } from '../database/entity-rows.ts';
import { rowsForProject } from '../database/rows-for-project.ts';
import { ownId } from '../database/own-id.ts';
import { shownRow } from '../database/shown-row.ts';
import { Image } from '../records/image.ts';

/**
 * Reads an image that the caller may see, together with what others read just then, and not tracked by any unit of
 * work. Of its own project a deleted one, too.
 *
 * @throws DarkroomError IMAGE_NOT_FOUND, for one that the caller may not see as for one that does not exist.
 */
export async function readImage(
  database: Database,
  caller: Caller,
  id: ImageId,
): Promise<Readonly<Image>> {
  const images = rowsForProject(database, Image, imageIsSeen('asked_project'));
  return (await images.read(visibleProject(caller), id)) ?? throwNotFound(id);
}

/**
 * The same of the caller's own project only.
 *
 * @throws DarkroomError IMAGE_NOT_FOUND; IMAGE_NOT_OWNED for one of another project that the caller may see.
 */
export async function readOwnImage(
  database: Database,
  caller: Caller,
  id: ImageId,
): Promise<Readonly<Image>> {
  const image = await readImage(database, caller, id);
  return isOwn(caller, image) ? image : throwNotOwned(id);
}

/** Reads an image that a project sees, in a unit of work; undefined where there is none. */
export async function findSeenImage(
  em: EntityManager,
  projectId: string,
  id: ImageId,
): Promise<Image | undefined> {
  const columns = columnNames(em, Image).join(', ');
  const [row]: RawRow[] = await em.execute(
    `select ${columns} from ${shownRow('images', '?', '?')} where ${imageIsSeen('?')}`,
    [id, projectId, projectId, projectId],
  );
  return row && em.map(Image, row);
}

/**
 * Reads an image of the caller's own project in a unit of work, holding its lock until the transaction ends; it is found
 * behind the second wall. Tasks are locked after their image, never before it.
 *
 * @throws DarkroomError as `readOwnImage`.
 */
export async function lockImage(em: EntityManager, caller: Caller, id: ImageId): Promise<Image> {
  const projectId = visibleProject(caller);
  const columns = columnNames(em, Image).join(', ');
  const [row]: RawRow[] = await em.execute(
    `select ${columns} from images where id = ${ownId('image', '?', '?')} and project_id = ? for update`,
    [id, projectId, projectId],
  );
  if (row) {
    return em.map(Image, row);
  }
  return (await findSeenImage(em, projectId, id)) ? throwNotOwned(id) : throwNotFound(id);
}

/** The error for an image that is not there, or that the caller may not see. */
export function imageNotFound(id: ImageId): DarkroomError {
  return new DarkroomError('IMAGE_NOT_FOUND', `There is no image ${id} in this project.`, {
    metadata: { image_id: id },
  });
}

/** The error for an image whose bytes are kept from all but admins. */
export function imageDeactivated({ id }: Readonly<Pick<Image, 'id'>>): DarkroomError {
  return new DarkroomError(
    'IMAGE_DEACTIVATED',
    `Image ${id} is deactivated: nobody but an admin is given its bytes until it is reactivated.`,
    { metadata: { image_id: id } },
  );
}

function throwNotFound(id: ImageId): never {
  throw imageNotFound(id);
}

function throwNotOwned(id: ImageId): never {
  throw new DarkroomError(
    'IMAGE_NOT_OWNED',
    `Image ${id} belongs to another project, which alone may change it and see its tasks and faults. Here it can be ` +
      'read, downloaded and copied: create an image from it by copy_from to have one of your own.',
    { metadata: { image_id: id } },
  );
}
