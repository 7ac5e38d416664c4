import { LockMode } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { Image } from '../records/image.ts';
import { Task } from '../records/task.ts';

/** What an image is said to be. */
export type Formats = Pick<Image, 'diskFormat' | 'containerFormat'>;

/**
 * Makes sure that an image, which is locked, may be said to be of other formats than before: until its bytes come, and again
 * when an attempt has failed. Bytes that come are looked at as what they were said to be when they began.
 *
 * @throws DarkroomError IMAGE_STATE_INVALID
 */
export async function requireFormatsOpen(
  em: EntityManager,
  image: Image,
  { diskFormat, containerFormat }: Formats,
): Promise<void> {
  const refuse = (why: string): never => {
    throw new DarkroomError(
      'IMAGE_STATE_INVALID',
      `The formats of image ${image.id} are not changed any more: ${why}.`,
      { metadata: { image_id: image.id, state: image.state } },
    );
  };
  if (image.state !== 'QUEUED') {
    refuse(`it is ${image.state}`);
  }
  const task =
    image.latestTaskId == null
      ? null
      : await em.findOne(
          Task,
          { id: image.latestTaskId },
          { lockMode: LockMode.PESSIMISTIC_WRITE },
        );
  if (task?.writerProcessId != null) {
    refuse('its bytes are just coming. Cancel their task first, or wait until it has ended');
  }
  const isKnown = diskFormat != null && containerFormat != null;
  if ((task?.type === 'IMPORT' || task?.decompress === true) && !isKnown) {
    refuse('its task needs both of them');
  }
  if (task?.decompress === true && containerFormat !== 'BARE') {
    refuse('what its task unpacks is stored BARE');
  }
}
