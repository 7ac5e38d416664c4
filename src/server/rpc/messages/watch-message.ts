import { create } from '@bufbuild/protobuf';
import type {
  TaskEvent as TaskEventMessage,
  Task as TaskMessage,
} from '../../../../gen/darkroom/v1/task_pb.ts';
import {
  WatchTaskResponseSchema,
  WatchTasksResponseSchema,
  type WatchTaskResponse,
  type WatchTasksResponse,
} from '../../../../gen/darkroom/v1/task_service_pb.ts';
import type { Caller } from '../../../access/caller.ts';
import type { EventRecord, TaskSnapshot } from '../../../tasks/reading/task-reader.ts';
import type { WatchTaskMessage } from '../../../tasks/watching/watch-task.ts';
import type { WatchTasksMessage } from '../../../tasks/watching/watch-tasks.ts';
import { progressMessage, taskEventMessage, taskMessage } from './task-message.ts';
import { timestampOf } from './well-known-types.ts';

/** What a watcher of one task is told, as `caller` may see it. */
export function watchTaskResponse(message: WatchTaskMessage, caller: Caller): WatchTaskResponse {
  const { resumeToken } = message;
  switch (message.kind) {
    case 'snapshot':
      return create(WatchTaskResponseSchema, {
        resumeToken,
        content: { case: 'snapshot', value: snapshotMessage(message.snapshot, caller) },
        missedRevisions: BigInt(message.missedRevisions),
      });
    case 'update': {
      const event = recordMessage(message.record, caller);
      const task = snapshotMessage(message.snapshot, caller);
      return create(WatchTaskResponseSchema, {
        resumeToken,
        content: { case: 'update', value: { event, task } },
      });
    }
    case 'progress':
      return create(WatchTaskResponseSchema, {
        resumeToken,
        content: { case: 'progress', value: progressMessage(message.task) },
      });
    case 'heartbeat':
      return create(WatchTaskResponseSchema, {
        resumeToken,
        content: { case: 'heartbeat', value: { time: timestampOf(message.time) } },
      });
  }
}

/** What a watcher of many tasks is told, as `caller` may see it. */
export function watchTasksResponse(message: WatchTasksMessage, caller: Caller): WatchTasksResponse {
  switch (message.kind) {
    case 'task':
      return create(WatchTasksResponseSchema, {
        content: { case: 'task', value: snapshotMessage(message.snapshot, caller) },
      });
    case 'progress':
      return create(WatchTasksResponseSchema, {
        content: {
          case: 'progress',
          value: { taskId: message.task.id, progress: progressMessage(message.task) },
        },
      });
    case 'synced':
    case 'heartbeat':
      return create(WatchTasksResponseSchema, {
        content: { case: message.kind, value: { time: timestampOf(message.time) } },
      });
  }
}

/** A task with its newest fault, as `caller` may see it. */
export function snapshotMessage({ task, lastFault }: TaskSnapshot, caller: Caller): TaskMessage {
  return taskMessage(task, lastFault, caller);
}

/** An event with its fault, as `caller` may see it. */
export function recordMessage({ event, fault }: EventRecord, caller: Caller): TaskEventMessage {
  return taskEventMessage(event, fault, caller);
}
