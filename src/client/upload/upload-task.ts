import { timestampMs } from '@bufbuild/protobuf/wkt';
import { Phase } from '../../../gen/darkroom/v1/phase_pb.ts';
import type { Task } from '../../../gen/darkroom/v1/task_pb.ts';
import type { DarkroomError } from '../calls/client-error.ts';
import type { ClientCalls, SurvivalOptions } from '../calls/client-calls.ts';
import type { SilenceGuard } from '../calls/silence-guard.ts';
import { failureOf } from '../watch/task-end.ts';
import { isTerminal, watchTask } from '../watch/watch-task.ts';

/** Phases in which the service has all bytes, and is not to be disturbed. */
const checkingPhases: ReadonlySet<Phase> = new Set([
  Phase.VERIFYING,
  Phase.PUBLISHING,
  Phase.UNPACKING,
]);

/** How often what becomes durable is told, in ms. */
const commitsIntervalMs = 100;

/** Tells how much of an upload is durable, until the signal says so. Never throws: then nothing is told any more. */
export async function followCommits(
  calls: ClientCalls,
  taskId: string,
  signal: AbortSignal,
  committed: (bytes: number) => void,
): Promise<void> {
  try {
    const options = { signal, progressIntervalMs: commitsIntervalMs };
    for await (const news of watchTask(calls, taskId, options)) {
      const progress = news.kind === 'progress' ? news.progress : news.task.progress;
      // Before anything is stored it may be what the producer of a snapshot has reported.
      if (progress !== undefined && progress.bytesStored > 0n) {
        committed(Number(progress.bytesDone));
      }
    }
  } catch {
    // Without it a stream that cannot be sought is made durable by ending it now and then.
  }
}

/** Waits while the service checks what came: it would begin anew for another writer. */
export async function untilChecked(
  calls: ClientCalls,
  taskId: string,
  { signal, retry }: SurvivalOptions,
): Promise<void> {
  for await (const news of watchTask(calls, taskId, { signal, retry })) {
    if (news.kind !== 'progress' && !checkingPhases.has(news.task.phase)) {
      return;
    }
  }
}

/** Takes a connection for dead on which the answer to the finish does not come, though nothing is checked any more. */
export async function checkFinish(
  calls: ClientCalls,
  taskId: string,
  guard: SilenceGuard,
): Promise<void> {
  try {
    const { task } = await calls.tasks.getTask({ taskId });
    if (task !== undefined && (isTerminal(task.state) || !checkingPhases.has(task.phase))) {
      guard.fail('the answer to the finish did not come');
    }
  } catch {
    guard.fail('the service cannot be asked what became of the finish');
  }
}

/** Has the task wait on, while nothing is sent. Never throws: what has become of the task is told by what sends. */
export async function giveSignOfLife(calls: ClientCalls, taskId: string): Promise<void> {
  try {
    await calls.tasks.reportProgress({ taskId });
  } catch {
    // It is given again.
  }
}

/** How long a task waits for a sign of life, in ms: an expire time is as far off when it is set. */
export function idleMsOf({ expireTime, updateTime }: Task): number {
  return expireTime === undefined || updateTime === undefined
    ? Infinity
    : Math.max(1000, timestampMs(expireTime) - timestampMs(updateTime));
}

/** Why a task is over, which says more than the error that it is; that error where it cannot be learnt. */
export async function endOfTask(
  calls: ClientCalls,
  taskId: string,
  error: DarkroomError,
): Promise<DarkroomError> {
  try {
    const { task } = await calls.tasks.getTask({ taskId });
    return (task && failureOf(task)) ?? error;
  } catch {
    return error;
  }
}
