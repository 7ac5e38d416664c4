import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { Image } from '../../records/image.ts';
import { RestError } from './rest-error.ts';

/**
 * In OpenStack a deleted image is not there any more; the contract shows it to its project.
 *
 * @throws DarkroomError IMAGE_NOT_FOUND
 */
export function requireNotDeleted({ id, state, deleteTime }: Readonly<Image>): void {
  if (state === 'DELETED') {
    throw gone(id, `Image ${id} was deleted at ${deleteTime?.toISOString()}.`);
  }
}

/**
 * What a change of an image answers; or, where it is deleted, that it is gone; or that how it is forbids the change, which
 * is 403 in Glance.
 */
export async function goneIfDeleted<T>(change: Promise<T>): Promise<T> {
  try {
    return await change;
  } catch (error) {
    if (!(error instanceof DarkroomError) || error.reason !== 'IMAGE_STATE_INVALID') {
      throw error;
    }
    const { state, image_id: id = '' } = error.metadata;
    throw state === 'DELETED' ? gone(id, error.message) : RestError.of(error, 403);
  }
}

function gone(id: string, message: string): DarkroomError {
  return new DarkroomError('IMAGE_NOT_FOUND', message, { metadata: { image_id: id } });
}
