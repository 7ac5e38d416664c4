import { readOwnImage } from '../access/find-image.ts';
import type { Caller } from '../access/caller.ts';
import type { Database } from '../database/database.ts';
import { rowsById } from '../database/rows-by-id.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { ImageId } from '../records/ids.ts';
import type { Image } from '../records/image.ts';
import { Task } from '../records/task.ts';
import { retryTask, type RetryParts } from '../tasks/control/retry-task.ts';
import { isTerminal } from '../tasks/ledger/state-machine.ts';
import { uploadAfterImport } from './next-attempt.ts';

/** What it takes to find the task that takes an image's bytes. */
export interface UploadTargetParts extends RetryParts {
  readonly database: Database;
}

/** An image that is to get its bytes, or has them, and the task by which. */
export interface UploadTarget {
  readonly image: Readonly<Image>;
  readonly task: Readonly<Task>;
}

/**
 * The task that takes the bytes of an image, for a sender that knows only the image: the one that waits for them, a new
 * attempt where the last one has ended badly, or the one that has made the image ACTIVE, with which they are compared.
 *
 * @throws DarkroomError IMAGE_NOT_FOUND, for a deleted one too; IMAGE_NOT_OWNED; IMAGE_STATE_INVALID where its bytes came
 *   otherwise; TASK_STATE_INVALID while they are imported; as `retryTask`.
 */
export async function uploadTarget(
  parts: UploadTargetParts,
  caller: Caller,
  imageId: ImageId,
): Promise<UploadTarget> {
  const image = await readOwnImage(parts.database, caller, imageId);
  const latest = await latestTask(parts.database, image);
  if (image.state === 'ACTIVE') {
    if (latest.type === 'IMPORT') {
      throw new DarkroomError(
        'IMAGE_STATE_INVALID',
        `Image ${imageId} has its bytes by an import, and they never change. Make a new image for others.`,
        { metadata: { image_id: imageId, state: image.state } },
      );
    }
    return { image, task: latest };
  }
  if (!isTerminal(latest.state)) {
    if (latest.type === 'IMPORT') {
      throw new DarkroomError(
        'TASK_STATE_INVALID',
        `Image ${imageId} is being imported by task ${latest.id}: wait for it, or cancel it.`,
        { metadata: { image_id: imageId, task_id: latest.id } },
      );
    }
    return { image, task: latest };
  }
  return {
    image,
    task:
      latest.type === 'IMPORT'
        ? await uploadAfterImport(parts, caller, latest.id)
        : (await retryTask(parts, caller, { taskId: latest.id, requestId: '' })).task,
  };
}

/** The newest task of an image. @throws DarkroomError IMAGE_NOT_FOUND for one that is deleted. */
export async function latestTask(
  database: Database,
  { id, state, latestTaskId }: Readonly<Image>,
): Promise<Readonly<Task>> {
  if (state === 'DELETED') {
    throw new DarkroomError('IMAGE_NOT_FOUND', `Image ${id} is deleted.`, {
      metadata: { image_id: id, state },
    });
  }
  const task = latestTaskId ? await rowsById(database, Task).read(latestTaskId) : undefined;
  if (task === undefined) {
    throw new DarkroomError('INTERNAL', `Image ${id} has no task.`);
  }
  return task;
}
