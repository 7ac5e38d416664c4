import {
  isTerminal,
  Task_State,
  TaskSchema,
  type DarkroomClient,
  type Task,
  type TaskEvent,
} from '../../client/exports.ts';
import type { CommandContext } from '../command-context.ts';
import { CommandFailure } from '../command-failure.ts';
import { withClient } from '../connection.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import { findTask } from '../finding/find-task.ts';
import { bytesText, clockText } from '../output/amounts.ts';
import { LiveLines } from '../output/live.ts';
import { jsonLine, recordFormat, recordText } from '../output/record-format.ts';
import { Rate } from '../output/rate.ts';
import { transferLines } from '../output/transfer-bar.ts';
import type { ConnectionOptions } from '../profiles/connection.ts';
import { eventWords, faultLines, whatToDo } from '../words/task-report.ts';
import { dateOf, phaseWord, progressText } from '../words/task-words.ts';
import { exitCodeFor } from './change-task.ts';

/** What `darkroom watch` and `darkroom wait` may be told. */
export interface WatchTaskOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly format?: string;
  /** In ms. */
  readonly timeout?: number;
}

/** Follows a task to its end and tells each change as it comes. */
export async function watchTask(
  context: CommandContext,
  text: string,
  options: WatchTaskOptions,
): Promise<ExitCode> {
  const format = recordFormat(TaskSchema, options);
  return withClient(context, options, async (client) => {
    const { id } = await findTask(client, text, context.signal);
    const task =
      format === undefined
        ? await followTask(context, client, id)
        : await follow(client, id, context.signal, (one) => {
            const { out } = context;
            out.write(
              format.as === 'json'
                ? jsonLine(TaskSchema, one)
                : recordText(format, TaskSchema, one),
            );
          });
    return exitCodeFor(task);
  });
}

/** Waits for the end of a task without a word until then. */
export async function waitForTask(
  context: CommandContext,
  text: string,
  options: WatchTaskOptions,
): Promise<ExitCode> {
  const format = recordFormat(TaskSchema, options);
  const { out, signal } = context;
  const { timeout } = options;
  const late = timeout === undefined ? undefined : AbortSignal.timeout(timeout);
  const either = late === undefined ? signal : AbortSignal.any([signal, late]);
  try {
    return await withClient(context, options, async (client) => {
      const { id } = await findTask(client, text, either);
      const task = await follow(client, id, either, () => undefined);
      if (format !== undefined) {
        out.write(recordText(format, TaskSchema, task));
      } else {
        endLines(task).forEach((line) => out.line(line));
      }
      return exitCodeFor(task);
    });
  } catch (error) {
    if (late?.aborted === true && !signal.aborted) {
      throw new CommandFailure(exitCodes.timedOut, 'it has not ended in that time, and goes on');
    }
    throw error;
  }
}

/** Follows a task on the screen: what stays on the standard output, a bar on the terminal. @returns the task as it ended */
export async function followTask(
  context: CommandContext,
  client: DarkroomClient,
  taskId: string,
): Promise<Task> {
  const { out, notes, signal } = context;
  const live = new LiveLines(notes);
  const rate = new Rate();
  let task: Task | undefined;
  const draw = (trouble?: string): void => {
    if (task !== undefined && !isTerminal(task.state)) {
      const { bytesDone = 0n, bytesTotal } = task.progress ?? {};
      const transfer = {
        step: phaseWord(task),
        doneBytes: Number(bytesDone),
        sizeBytes: bytesTotal === undefined ? undefined : Number(bytesTotal),
        bytesPerSecond: rate.bytesPerSecond,
        holeBytes: 0,
        waiting: trouble === undefined ? undefined : { why: trouble, leftMs: 0 },
      };
      live.draw(transferLines(phaseWord(task), transfer, notes));
    }
  };
  const keep = (event: TaskEvent): void => {
    const { text, style = (same: string) => same } = eventWords(event, out.style);
    const date = dateOf(event.createTime);
    const when = date === undefined ? '' : `${out.style.dim(clockText(date))}  `;
    const line = `${when}at ${bytesText(event.bytesDone)}  ${style(text)}`;
    const below = event.fault === undefined ? [] : faultLines(event.fault, out.style);
    [line, ...below].forEach((one) => (out.isTerminal ? live.keep(one) : out.line(one)));
  };
  try {
    const watch = client.watchTask(taskId, {
      signal,
      onConnection: (connection) =>
        draw(connection.state === 'waiting' ? connection.error.message : undefined),
    });
    for await (const news of watch) {
      if (news.kind === 'snapshot') {
        ({ task } = news);
        out.line(`${progressText(task.progress)}, ${phaseWord(task) || 'ended'}`);
      } else if (news.kind === 'update') {
        ({ task } = news);
        keep(news.event);
      } else if (task !== undefined) {
        task = { ...task, progress: news.progress };
      }
      rate.add(Number(task?.progress?.bytesDone ?? 0n));
      draw();
    }
  } finally {
    live.end();
  }
  const ended = await asItEnded(client, taskId, task, signal);
  endLines(ended).forEach((line) => out.line(line));
  return ended;
}

/** Follows a task without a screen. */
async function follow(
  client: DarkroomClient,
  taskId: string,
  signal: AbortSignal,
  onTask: (task: Task) => void,
): Promise<Task> {
  let task: Task | undefined;
  for await (const news of client.watchTask(taskId, { signal })) {
    if (news.kind !== 'progress') {
      ({ task } = news);
      onTask(task);
    }
  }
  return asItEnded(client, taskId, task, signal);
}

/** The task of the last change may have been read before it ended. */
async function asItEnded(
  client: DarkroomClient,
  taskId: string,
  last: Task | undefined,
  signal: AbortSignal,
): Promise<Task> {
  if (last !== undefined && isTerminal(last.state)) {
    return last;
  }
  const { task } = await client.tasks.getTask({ taskId }, { signal });
  if (task === undefined) {
    throw new CommandFailure(exitCodes.failed, 'the service has answered without the task');
  }
  return task;
}

function endLines(task: Task): string[] {
  switch (task.state) {
    case Task_State.SUCCEEDED:
      return [`Done: ${bytesText(task.progress?.bytesDone ?? 0n)}, image ${task.imageId}.`];
    case Task_State.FAILED:
      return [
        `Failed with ${task.lastFault?.reason ?? 'a fault that is not kept any more'}.`,
        ...whatToDo({ task, image: undefined }),
      ];
    default:
      return ['Cancelled.', ...whatToDo({ task, image: undefined })];
  }
}
