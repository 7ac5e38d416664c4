import { Task_State, type Task } from '../../../gen/darkroom/v1/task_pb.ts';
import { DarkroomError } from '../calls/client-error.ts';
import { endingWith, type ClientCalls } from '../calls/client-calls.ts';
import { isTerminal, watchTask, type WatchOptions } from './watch-task.ts';

/** Why a terminal task has brought no image: its fatal fault, or that it was cancelled. */
export function failureOf(task: Task): DarkroomError | undefined {
  switch (task.state) {
    case Task_State.FAILED:
      return task.lastFault === undefined
        ? new DarkroomError('ANSWER_INVALID', `Task ${task.id} FAILED and has no fault.`)
        : DarkroomError.ofFault(task.lastFault);
    case Task_State.CANCELLED:
      return new DarkroomError(
        'TASK_CANCELLED',
        `Task ${task.id} was cancelled${task.message === '' ? '' : `: ${task.message}`}`,
        { origin: 'service' },
      );
    default:
      return undefined;
  }
}

/**
 * Waits until a task has SUCCEEDED.
 *
 * @throws DarkroomError what failed it, by the reason of its fault; TASK_CANCELLED; as watchTask
 */
export async function waitForTask(
  calls: ClientCalls,
  taskId: string,
  options: WatchOptions = {},
): Promise<Task> {
  let last: Task | undefined;
  for await (const news of watchTask(calls, taskId, options)) {
    last = news.kind === 'progress' ? last : news.task;
  }
  // An update's task may have been read before a newer one was.
  if (last === undefined || !isTerminal(last.state)) {
    last = (await calls.tasks.getTask({ taskId }, endingWith(options.signal))).task;
  }
  if (last === undefined) {
    throw new DarkroomError('ANSWER_INVALID', `The service answered without task ${taskId}.`);
  }
  const failure = failureOf(last);
  if (failure !== undefined) {
    throw failure;
  }
  return last;
}
