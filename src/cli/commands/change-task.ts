import { TaskSchema, Task_State, Task_Type, type Task } from '../../client/contract.ts';
import type { CommandContext } from '../command-context.ts';
import { CommandFailure } from '../command-failure.ts';
import { withClient } from '../connection.ts';
import { exitCodes } from '../exit-codes.ts';
import { findTask } from '../finding/find-task.ts';
import { bytesText } from '../output/amounts.ts';
import { recordFormat, recordText } from '../output/record-format.ts';
import type { ConnectionOptions } from '../profiles/connection.ts';

/** What `darkroom cancel` may be told. */
export interface CancelOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly format?: string;
  readonly reason?: string;
}

/** Cancels a task; one that was cancelled before is answered as then. */
export async function cancelTask(
  context: CommandContext,
  text: string,
  options: CancelOptions,
): Promise<void> {
  const format = recordFormat(TaskSchema, options);
  const { out, signal } = context;
  const task = await withClient(context, options, async (client) => {
    const { id } = await findTask(client, text, signal);
    const { reason = '' } = options;
    return taskOf(await client.tasks.cancelTask({ taskId: id, reason }, { signal }));
  });
  out.write(
    format === undefined
      ? `Cancelled ${task.id} at ${bytesText(task.progress?.bytesDone ?? 0n)}. Its image will not come, unless it is retried: darkroom retry ${task.id}\n`
      : recordText(format, TaskSchema, task),
  );
}

/** What `darkroom retry` may be told. */
export interface RetryOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly format?: string;
}

/** Makes the next attempt at what failed or was cancelled, and tells how to go on. */
export async function retryTask(
  context: CommandContext,
  text: string,
  options: RetryOptions,
): Promise<void> {
  const format = recordFormat(TaskSchema, options);
  const { out, signal } = context;
  const task = await withClient(context, options, async (client) => {
    const { id } = await findTask(client, text, signal);
    return taskOf(await client.tasks.retryTask({ taskId: id }, { signal }));
  });
  if (format !== undefined) {
    out.write(recordText(format, TaskSchema, task));
    return;
  }
  const from = task.progress?.bytesDone ?? 0n;
  const next =
    task.type === Task_Type.IMPORT
      ? `The service fetches it: darkroom watch ${task.id}`
      : `Now send the bytes: darkroom upload FILE --task ${task.id}`;
  out.line(
    `Attempt ${task.attempt} is ${task.id}, from ${from === 0n ? 'the first byte' : `byte ${from}`}. ${next}`,
  );
}

function taskOf({ task }: { readonly task?: Task | undefined }): Task {
  if (task === undefined) {
    throw new CommandFailure(exitCodes.failed, 'the service has answered without a task');
  }
  return task;
}

/** With what a command ends that has waited for a task. */
export function exitCodeFor(task: Pick<Task, 'state'>) {
  switch (task.state) {
    case Task_State.FAILED:
      return exitCodes.taskFailed;
    case Task_State.CANCELLED:
      return exitCodes.taskCancelled;
    default:
      return exitCodes.done;
  }
}
