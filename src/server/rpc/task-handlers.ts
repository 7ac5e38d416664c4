import { create } from '@bufbuild/protobuf';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
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
  type ListFaultsRequest as ListFaultsMessage,
  type TaskFilter as TaskFilterMessage,
  type TaskService,
  type WatchTaskRequest,
  type WatchTasksRequest,
} from '../../../gen/darkroom/v1/task_service_pb.ts';
import type { Database } from '../../database/database.ts';
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
import { TaskReader } from '../../tasks/reading/task-reader.ts';
import type { ListFaultsRequest, TaskFilter } from '../../tasks/reading/list-requests.ts';
import { TaskTrails } from '../../tasks/watching/task-trail.ts';
import { TaskWatch, watchTask } from '../../tasks/watching/watch-task.ts';
import { TasksWatch, watchTasks } from '../../tasks/watching/watch-tasks.ts';
import type { WantedIntervals } from '../../tasks/watching/watch-intervals.ts';
import type { WatchPlaces } from '../../tasks/watching/watch-places.ts';
import { enumName, enumNames } from './messages/enum-names.ts';
import { faultMessage } from './messages/fault-message.ts';
import {
  recordMessage,
  snapshotMessage,
  watchTaskResponse,
  watchTasksResponse,
} from './messages/watch-message.ts';
import { dateOf, millisecondsOf, numberOf } from './messages/well-known-types.ts';
import { callerOf, drainSignalOf, peerOf } from '../transport/request-context.ts';
import { taskEtag } from '../http/task-etag.ts';
import { answersItself } from './watch-answer.ts';
import { watchTaskEnvelopes, watchTasksEnvelopes } from './watch-envelopes.ts';

/** What the handlers translate for. */
export interface TaskHandlerParts {
  readonly database: Database;
  readonly ledger: TaskLedger;
  readonly feed: TaskChangeSource;
  readonly watchPlaces: WatchPlaces;
  /** Called after a commit that left bytes to be removed. */
  readonly onBlobsReleased: () => void;
  /** Called after a commit that left an import to be fetched. */
  readonly onImportDue: () => void;
}

/** Translates between the contract's messages and the tasks of the domain. */
export function taskHandlers(parts: TaskHandlerParts): ServiceImpl<typeof TaskService> {
  const { database, ledger, feed } = parts;
  const reader = new TaskReader(database);
  const places = parts.watchPlaces;
  const trails = new TaskTrails(reader, feed, places);
  const encloseTask = watchTaskEnvelopes();
  const encloseTasks = watchTasksEnvelopes();
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
      const { taskId, resumeToken } = request;
      const wanted = { taskId, resumeToken, ...wantedIntervals(request, context) };
      const signals = { signal: context.signal, drainSignal: drainSignalOf(context) };
      const isAnswered = await answersItself(context, encloseTask, (watcher) =>
        TaskWatch.begin(trails, caller, wanted, signals, watcher),
      );
      if (!isAnswered) {
        for await (const message of watchTask(trails, caller, wanted, signals)) {
          yield watchTaskResponse(message, caller);
        }
      }
    },

    async *watchTasks(request, context) {
      const caller = callerOf(context);
      const sources = { database, feed, reader, places };
      const wanted = { filter: taskFilter(request.filter), ...wantedIntervals(request, context) };
      const signals = { signal: context.signal, drainSignal: drainSignalOf(context) };
      const isAnswered = await answersItself(context, encloseTasks, (watcher) =>
        TasksWatch.begin(sources, caller, wanted, signals.drainSignal, watcher),
      );
      if (!isAnswered) {
        for await (const message of watchTasks(sources, caller, wanted, signals)) {
          yield watchTasksResponse(message, caller);
        }
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

function wantedIntervals(
  { progressInterval, heartbeatInterval }: WatchTaskRequest | WatchTasksRequest,
  context: HandlerContext,
): WantedIntervals {
  return {
    progressIntervalMs: progressInterval && millisecondsOf(progressInterval),
    heartbeatIntervalMs: heartbeatInterval && millisecondsOf(heartbeatInterval),
    reader: peerOf(context),
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
