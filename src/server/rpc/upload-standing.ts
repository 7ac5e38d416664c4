import type { HandlerContext } from '@connectrpc/connect';
import type { Database } from '../../database/database.ts';
import type { ImageService } from '../../images/image-service.ts';
import type { TaskId } from '../../records/ids.ts';
import { getTask } from '../../tasks/reading/task-queries.ts';
import { callerOf } from '../transport/request-context.ts';
import { imageMessage } from './messages/image-message.ts';
import { taskMessage } from './messages/task-message.ts';

/** What it takes to tell how an upload stands. */
export interface StandingParts {
  readonly images: ImageService;
  readonly database: Database;
}

/** An upload's task and image as they are now, for the answer to its sender. @throws as `getTask`. */
export async function standingOf(
  { images, database }: StandingParts,
  context: HandlerContext,
  taskId: TaskId,
): Promise<{ image: ReturnType<typeof imageMessage>; task: ReturnType<typeof taskMessage> }> {
  const caller = callerOf(context);
  const { task, lastFault } = await getTask(database, caller, taskId);
  const view = await images.getImage(caller, task.imageId);
  return {
    image: imageMessage(view.image, view.lastFault, caller),
    task: taskMessage(task, lastFault, caller),
  };
}
