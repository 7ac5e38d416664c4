import { create } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import type {
  TaskEvent as TaskEventMessage,
  Task as TaskMessage,
} from '../../../gen/darkroom/v1/task_pb.ts';
import { Task_State, Task_Type } from '../../../gen/darkroom/v1/task_pb.ts';
import {
  CancelTaskResponseSchema,
  GetTaskResponseSchema,
  ListFaultsResponseSchema,
  ListTaskEventsResponseSchema,
  ListTasksResponseSchema,
  ReportFaultResponseSchema,
  ReportProgressResponseSchema,
  RetryTaskResponseSchema,
  TaskOrder,
  WatchTaskResponseSchema,
  WatchTasksResponseSchema,
  type ListFaultsRequest as ListFaultsMessage,
  type TaskFilter as TaskFilterMessage,
  type TaskService,
  type WatchTaskResponse,
  type WatchTasksResponse,
} from '../../../gen/darkroom/v1/task_service_pb.ts';
import type { Database } from '../../database/database.ts';
import type { Caller } from '../../access/caller.ts';
import { cancelTask } from '../../tasks/control/cancel-task.ts';
import { reportFault, reportProgress } from '../../tasks/control/producer-reports.ts';
import { retryTask } from '../../tasks/control/retry-task.ts';
import type { TaskChangeSource } from '../../tasks/watching/task-feed.ts';
import type { TaskLedger } from '../../tasks/ledger/task-ledger.ts';
import {
  getTask,
  listFaults,
  listTaskEvents,
  listTasks,
} from '../../tasks/reading/task-queries.ts';
import {
  TaskReader,
  type EventRecord,
  type TaskSnapshot,
} from '../../tasks/reading/task-reader.ts';
import type { ListFaultsRequest, TaskFilter } from '../../tasks/reading/list-requests.ts';
import { TaskTrails } from '../../tasks/watching/task-trail.ts';
import { watchTask, type WatchTaskMessage } from '../../tasks/watching/watch-task.ts';
import { watchTasks, type WatchTasksMessage } from '../../tasks/watching/watch-tasks.ts';
import { enumName, enumNames } from './messages/enum-names.ts';
import { faultMessage } from './messages/fault-message.ts';
import { progressMessage, taskEventMessage, taskMessage } from './messages/task-message.ts';
import { dateOf, millisecondsOf, numberOf, timestampOf } from './messages/well-known-types.ts';
import { callerOf, drainSignalOf } from '../transport/request-context.ts';
import { taskEtag } from '../http/task-etag.ts';

/** What the handlers translate for. */
export interface TaskHandlerParts {
  readonly database: Database;
  readonly ledger: TaskLedger;
  readonly feed: TaskChangeSource;
  /** Called after a commit that left bytes to be removed. */
  readonly onBlobsReleased: () => void;
  /** Called after a commit that left an import to be fetched. */
  readonly onImportDue: () => void;
}

/** Translates between the contract's messages and the tasks of the domain. */
export function taskHandlers(parts: TaskHandlerParts): ServiceImpl<typeof TaskService> {
  const { database, ledger, feed } = parts;
  const reader = new TaskReader(database);
  const trails = new TaskTrails(reader, feed);
  return {
    async getTask(request, context) {
      const caller = callerOf(context);
      const snapshot = await getTask(database, caller, request.taskId);
      context.responseHeader.set('etag', taskEtag(snapshot.task));
      return create(GetTaskResponseSchema, { task: snapshotMessage(snapshot, caller) });
    },

    async listTasks(request, context) {
      const caller = callerOf(context);
      const page = await listTasks(database, caller, {
        filter: taskFilter(request.filter),
        order: enumName(TaskOrder, request.orderBy),
        pageSize: request.pageSize,
        pageToken: request.pageToken,
      });
      return create(ListTasksResponseSchema, {
        tasks: page.rows.map((snapshot) => snapshotMessage(snapshot, caller)),
        nextPageToken: page.nextPageToken,
      });
    },

    async listFaults(request, context) {
      const caller = callerOf(context);
      const page = await listFaults(database, caller, listFaultsRequest(request));
      return create(ListFaultsResponseSchema, {
        faults: page.rows.map((fault) => faultMessage(fault, caller)),
        nextPageToken: page.nextPageToken,
      });
    },

    async listTaskEvents(request, context) {
      const caller = callerOf(context);
      const page = await listTaskEvents(database, caller, request);
      return create(ListTaskEventsResponseSchema, {
        events: page.rows.map((record) => recordMessage(record, caller)),
        nextPageToken: page.nextPageToken,
      });
    },

    async *watchTask(request, context) {
      const caller = callerOf(context);
      const messages = watchTask(
        trails,
        caller,
        {
          taskId: request.taskId,
          resumeToken: request.resumeToken,
          progressIntervalMs: request.progressInterval && millisecondsOf(request.progressInterval),
          heartbeatIntervalMs:
            request.heartbeatInterval && millisecondsOf(request.heartbeatInterval),
        },
        { signal: context.signal, drainSignal: drainSignalOf(context) },
      );
      for await (const message of messages) {
        yield watchTaskResponse(message, caller);
      }
    },

    async *watchTasks(request, context) {
      const caller = callerOf(context);
      const messages = watchTasks(
        { database, feed, reader },
        caller,
        {
          filter: taskFilter(request.filter),
          progressIntervalMs: request.progressInterval && millisecondsOf(request.progressInterval),
          heartbeatIntervalMs:
            request.heartbeatInterval && millisecondsOf(request.heartbeatInterval),
        },
        { signal: context.signal, drainSignal: drainSignalOf(context) },
      );
      for await (const message of messages) {
        yield watchTasksResponse(message, caller);
      }
    },

    async reportProgress(request, context) {
      const caller = callerOf(context);
      const snapshot = await reportProgress(ledger, caller, {
        taskId: request.taskId,
        message: request.message,
        bytesDone: numberOf(request.bytesDone),
        bytesTotal: numberOf(request.bytesTotal),
      });
      return create(ReportProgressResponseSchema, { task: snapshotMessage(snapshot, caller) });
    },

    async reportFault(request, context) {
      const caller = callerOf(context);
      const { snapshot, fault } = await reportFault(ledger, caller, request);
      return create(ReportFaultResponseSchema, {
        task: snapshotMessage(snapshot, caller),
        fault: faultMessage(fault, caller),
      });
    },

    async cancelTask(request, context) {
      const caller = callerOf(context);
      const snapshot = await cancelTask(parts, caller, request);
      return create(CancelTaskResponseSchema, { task: snapshotMessage(snapshot, caller) });
    },

    async retryTask(request, context) {
      const caller = callerOf(context);
      const snapshot = await retryTask(parts, caller, request);
      return create(RetryTaskResponseSchema, { task: snapshotMessage(snapshot, caller) });
    },
  };
}

function taskFilter(filter: TaskFilterMessage | undefined): TaskFilter {
  return {
    states: enumNames(Task_State, filter?.states ?? []),
    types: enumNames(Task_Type, filter?.types ?? []),
    imageId: filter?.imageId,
    labels: filter?.labels ?? {},
    createdAfter: filter?.createdAfter && dateOf(filter.createdAfter),
    createdBefore: filter?.createdBefore && dateOf(filter.createdBefore),
    updatedAfter: filter?.updatedAfter && dateOf(filter.updatedAfter),
    updatedBefore: filter?.updatedBefore && dateOf(filter.updatedBefore),
    hasFaults: filter?.hasFaults,
  };
}

function listFaultsRequest({ of, pageSize, pageToken }: ListFaultsMessage): ListFaultsRequest {
  switch (of.case) {
    case 'taskId':
      return { of: { kind: 'task', taskId: of.value }, pageSize, pageToken };
    case 'imageId':
      return { of: { kind: 'image', imageId: of.value }, pageSize, pageToken };
    case undefined:
      return { of: undefined, pageSize, pageToken };
  }
}

function watchTaskResponse(message: WatchTaskMessage, caller: Caller): WatchTaskResponse {
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

function watchTasksResponse(message: WatchTasksMessage, caller: Caller): WatchTasksResponse {
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

// A thousand watchers of a task are told of one snapshot and one event: each is translated once.
const snapshotMessage = translatedOnce(({ task, lastFault }: TaskSnapshot, caller): TaskMessage =>
  taskMessage(task, lastFault, caller),
);
const recordMessage = translatedOnce(({ event, fault }: EventRecord, caller): TaskEventMessage =>
  taskEventMessage(event, fault, caller),
);

/** Remembers translations for as long as what was translated is in use; it differs by role. */
function translatedOnce<T extends object, M>(
  translate: (value: T, caller: Caller) => M,
): (value: T, caller: Caller) => M {
  const known = {
    member: new WeakMap<T, M>(),
    operator: new WeakMap<T, M>(),
  } satisfies Record<Caller['role'], WeakMap<T, M>>;
  return (value, caller) => {
    let message = known[caller.role].get(value);
    if (message === undefined) {
      message = translate(value, caller);
      known[caller.role].set(value, message);
    }
    return message;
  };
}
