import type { HandlerContext } from '@connectrpc/connect';
import type { Database } from '../../database/database.ts';
import type { ImageService } from '../../images/image-service.ts';
import type { TaskId } from '../../records/ids.ts';
import { readImageView } from '../../images/image-view.ts';
import { getTask, readSnapshot } from '../../tasks/reading/task-queries.ts';
import type { PublishedImage } from '../../uploads/publishing/publish.ts';
import { callerOf } from '../transport/request-context.ts';
import { imageMessage } from './messages/image-message.ts';
import { taskMessage } from './messages/task-message.ts';

/** What it takes to tell how an upload stands. */
export interface StandingParts {
  readonly images: ImageService;
  readonly database: Database;
}

/**
 * An upload's task and image as they are now, for the answer to its sender.
 *
 * @param published as the call itself has just left them, if it ended them.
 * @throws as `getTask`.
 */
export async function standingOf(
  { images, database }: StandingParts,
  context: HandlerContext,
  taskId: TaskId,
  published?: PublishedImage,
): Promise<{ image: ReturnType<typeof imageMessage>; task: ReturnType<typeof taskMessage> }> {
  const caller = callerOf(context);
  const snapshot = published
    ? await readSnapshot(database, caller, published.task)
    : await getTask(database, caller, taskId);
  const view = published
    ? await readImageView(database, caller, published.image)
    : await images.getImage(caller, snapshot.task.imageId);
  return {
    image: imageMessage(view.image, view.lastFault, caller),
    task: taskMessage(snapshot.task, snapshot.lastFault, caller),
  };
}
