import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { Task, Task_Progress } from '../../../gen/darkroom/v1/task_pb.ts';
import type {
  TaskFilterSchema,
  WatchTasksResponse,
} from '../../../gen/darkroom/v1/task_service_pb.ts';
import { DarkroomError } from '../calls/client-error.ts';
import { Survival, type ClientCalls } from '../calls/client-calls.ts';
import { SilenceGuard } from '../calls/silence-guard.ts';
import { defaultHeartbeatMs, silenceOf, type WatchOptions } from './watch-task.ts';

/** What a watch of many tasks tells. */
export type TasksNews =
  | {
      /** All tasks are told from the beginning, as they are; those that are not told before `synced` match no more. */
      readonly kind: 'begin';
    }
  | {
      /** A task that matches, as it is; or for a last time, as it is now that it does not. */
      readonly kind: 'task';
      readonly task: Task;
    }
  | {
      /** All tasks that there were have been told. */
      readonly kind: 'synced';
    }
  | {
      /** How many bytes of a task are done. */
      readonly kind: 'progress';
      readonly taskId: string;
      readonly progress: Task_Progress;
    };

/**
 * Follows all tasks that match a filter, through all that happens to the connection and to the service. It does not end by
 * itself.
 *
 * @throws DarkroomError what does not pass by itself; the signal's reason
 */
export async function* watchTasks(
  calls: ClientCalls,
  filter: MessageInitShape<typeof TaskFilterSchema> = {},
  options: WatchOptions = {},
): AsyncGenerator<TasksNews, void, undefined> {
  const survival = new Survival(calls, options);
  const { progressIntervalMs, heartbeatIntervalMs = defaultHeartbeatMs, onConnection } = options;
  for (;;) {
    let failure: DarkroomError;
    const guard = new SilenceGuard(silenceOf(heartbeatIntervalMs), options.signal);
    try {
      guard.listen();
      const messages = calls.tasks.watchTasks(
        {
          filter,
          heartbeatInterval: durationFromMs(heartbeatIntervalMs),
          ...(progressIntervalMs !== undefined && {
            progressInterval: durationFromMs(progressIntervalMs),
          }),
        },
        { signal: guard.signal },
      );
      let isFirst = true;
      for await (const { content } of messages) {
        guard.rest();
        survival.progressed();
        if (isFirst) {
          isFirst = false;
          onConnection?.({ state: 'connected' });
          yield { kind: 'begin' };
        }
        const news = newsOf(content);
        if (news !== undefined) {
          yield news;
        }
        guard.listen();
      }
      failure = new DarkroomError('CONNECTION_LOST', 'The watch ended, which it never does.', {
        origin: 'network',
        isTransient: true,
      });
    } catch (error) {
      options.signal?.throwIfAborted();
      failure = guard.silence ?? DarkroomError.from(error);
    } finally {
      guard.close();
    }
    if (!survival.passes(failure)) {
      throw failure;
    }
    await survival.wait(failure, onConnection);
  }
}

/** What a message tells; nothing where it is a heartbeat. */
function newsOf(content: WatchTasksResponse['content']): TasksNews | undefined {
  switch (content.case) {
    case 'task':
      return { kind: 'task', task: content.value };
    case 'synced':
      return { kind: 'synced' };
    case 'progress': {
      const { taskId, progress } = content.value;
      return progress && { kind: 'progress', taskId, progress };
    }
    case 'heartbeat':
    case undefined:
      return undefined;
  }
}
