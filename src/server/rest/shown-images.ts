import type { Caller } from '../../access/caller.ts';
import { isOwn } from '../../access/rights.ts';
import type { Database } from '../../database/database.ts';
import { rowsById } from '../../database/rows-by-id.ts';
import type { ImageView } from '../../images/image-view.ts';
import { Task } from '../../records/task.ts';
import { imageStatus } from './image-status.ts';
import type { ShownImage } from './image-view.ts';

/**
 * What images are to be shown with, read together: the newest task of each that waits for its bytes, which decides its
 * status.
 */
export async function shownImages(
  database: Database,
  caller: Caller,
  views: readonly ImageView[],
): Promise<readonly ShownImage[]> {
  const tasks = rowsById(database, Task);
  return Promise.all(
    views.map(async ({ image, lastFault }) => {
      const { state, latestTaskId } = image;
      const task = state === 'QUEUED' && latestTaskId ? await tasks.read(latestTaskId) : undefined;
      return {
        image,
        status: imageStatus(image, task),
        isOwn: isOwn(caller, image),
        lastFault,
        importing: importingOf(task),
      };
    }),
  );
}

function importingOf(task: Readonly<Task> | undefined): ShownImage['importing'] {
  if (task === undefined || (task.type !== 'IMPORT' && !task.isStaging)) {
    return undefined;
  }
  const isUnderWay = task.type === 'IMPORT' || task.finishSize != null;
  switch (task.state) {
    case 'FAILED':
      return isUnderWay ? 'failed' : undefined;
    case 'PENDING':
    case 'RUNNING':
      return isUnderWay ? 'pending' : undefined;
    default:
      return undefined;
  }
}
