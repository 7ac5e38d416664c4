import { durationFromMs } from '@bufbuild/protobuf/wkt';
import {
  Task_State,
  type Task,
  type Task_Progress,
  type TaskEvent,
} from '../../../gen/darkroom/v1/task_pb.ts';
import type { WatchTaskResponse } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { DarkroomError } from '../calls/client-error.ts';
import {
  Survival,
  type ClientCalls,
  type ConnectionState,
  type SurvivalOptions,
} from '../calls/client-calls.ts';
import { SilenceGuard } from '../calls/silence-guard.ts';

/** How a watch is to be. Times are in ms. */
export interface WatchOptions extends SurvivalOptions {
  /** The least time between two of its progress: 100 to 3,600,000; 1,000 if not set. */
  readonly progressIntervalMs?: number;
  /** How often the service says at least that it is there: 1,000 to 3,600,000; 15,000 if not set. */
  readonly heartbeatIntervalMs?: number;
  /** Told when the connection is lost and when it is back. */
  readonly onConnection?: (connection: ConnectionState) => void;
}

/** What a watch of a task tells. */
export type TaskNews =
  | {
      /** The task as it is: first, and after a gap. */
      readonly kind: 'snapshot';
      readonly task: Task;
      /** How many changes since the last that was told are no longer kept. */
      readonly missedRevisions: number;
    }
  | {
      /** A change of state or phase, or a fault: each one once, in order. */
      readonly kind: 'update';
      readonly event: TaskEvent;
      /** The task at this event, or later. */
      readonly task: Task;
    }
  | {
      /** How many bytes are done. */
      readonly kind: 'progress';
      readonly progress: Task_Progress;
    };

/** Whether a task is SUCCEEDED, FAILED or CANCELLED. */
export function isTerminal(state: Task_State): boolean {
  return (
    state === Task_State.SUCCEEDED || state === Task_State.FAILED || state === Task_State.CANCELLED
  );
}

/** The heartbeat that is asked for where nothing is said, in ms. */
export const defaultHeartbeatMs = 15_000;
/** So many heartbeats must be missing before a connection is taken for dead. */
const missingHeartbeats = 2.5;
/** How long the end of a stream is awaited after its last message, in ms. */
const endMs = 2_000;

/** How long nothing need be heard before a watch is taken for dead, in ms. */
export function silenceOf(heartbeatMs: number): number {
  return heartbeatMs * missingHeartbeats;
}

/**
 * Follows a task to its end through all that happens to the connection and to the service: every change comes once and
 * in order, then the iteration ends.
 *
 * @throws DarkroomError TASK_NOT_FOUND and what else does not pass by itself; the signal's reason
 */
export async function* watchTask(
  calls: ClientCalls,
  taskId: string,
  options: WatchOptions = {},
): AsyncGenerator<TaskNews, void, undefined> {
  const survival = new Survival(calls, options);
  const { progressIntervalMs, heartbeatIntervalMs = defaultHeartbeatMs, onConnection } = options;
  const silentMs = silenceOf(heartbeatIntervalMs);
  let resumeToken = '';
  let revision = 0n;
  for (;;) {
    let failure: DarkroomError;
    let isOver = false;
    const guard = new SilenceGuard(silentMs, options.signal);
    try {
      guard.listen();
      const messages = calls.tasks.watchTask(
        {
          taskId,
          resumeToken,
          heartbeatInterval: durationFromMs(heartbeatIntervalMs),
          ...(progressIntervalMs !== undefined && {
            progressInterval: durationFromMs(progressIntervalMs),
          }),
        },
        { signal: guard.signal },
      );
      let isFirst = true;
      for await (const message of messages) {
        guard.rest();
        if (isFirst) {
          isFirst = false;
          onConnection?.({ state: 'connected' });
        }
        survival.progressed();
        resumeToken = message.resumeToken;
        const news = newsOf(message);
        // After a watch that had to begin anew, some of it was told before.
        if (news !== undefined && !(news.kind === 'update' && news.event.revision <= revision)) {
          revision = revisionOf(news) ?? revision;
          yield news;
          isOver = news.kind !== 'progress' && isTerminal(stateOf(news));
        }
        guard.listen(isOver ? endMs : silentMs);
      }
      failure = new DarkroomError('CONNECTION_LOST', 'The watch ended before its task did.', {
        origin: 'network',
        isTransient: true,
      });
    } catch (error) {
      options.signal?.throwIfAborted();
      failure = guard.silence ?? DarkroomError.from(error);
    } finally {
      guard.close();
    }
    if (isOver) {
      return;
    }
    if (failure.reason === 'RESUME_TOKEN_INVALID' && resumeToken !== '') {
      resumeToken = '';
      continue;
    }
    if (!survival.passes(failure)) {
      throw failure;
    }
    await survival.wait(failure, onConnection);
  }
}

function stateOf(news: Exclude<TaskNews, { kind: 'progress' }>): Task_State {
  return news.kind === 'update' ? news.event.state : news.task.state;
}

function revisionOf(news: TaskNews): bigint | undefined {
  switch (news.kind) {
    case 'snapshot':
      return news.task.revision;
    case 'update':
      return news.event.revision;
    case 'progress':
      return undefined;
  }
}

/** What a message tells; nothing where it is a heartbeat. */
function newsOf({ content, missedRevisions }: WatchTaskResponse): TaskNews | undefined {
  switch (content.case) {
    case 'snapshot':
      return { kind: 'snapshot', task: content.value, missedRevisions: Number(missedRevisions) };
    case 'update': {
      const { event, task } = content.value;
      return event && task && { kind: 'update', event, task };
    }
    case 'progress':
      return { kind: 'progress', progress: content.value };
    case 'heartbeat':
    case undefined:
      return undefined;
  }
}
