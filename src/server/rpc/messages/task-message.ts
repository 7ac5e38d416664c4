import { create } from '@bufbuild/protobuf';
import { Phase } from '../../../../gen/darkroom/v1/phase_pb.ts';
import type {
  TaskEvent as TaskEventMessage,
  Task as TaskMessage,
  Task_Progress,
} from '../../../../gen/darkroom/v1/task_pb.ts';
import {
  TaskEventSchema,
  TaskEvent_Kind,
  TaskSchema,
  Task_ProgressSchema,
  Task_State,
  Task_Type,
} from '../../../../gen/darkroom/v1/task_pb.ts';
import type { Caller } from '../../../access/caller.ts';
import type { Fault } from '../../../records/fault.ts';
import type { TaskEvent } from '../../../records/task-event.ts';
import type { Task } from '../../../records/task.ts';
import { bytesOf } from '../../../tasks/reading/task-bytes.ts';
import { faultMessageIfAny } from './fault-message.ts';
import { timestampOf } from './well-known-types.ts';

/**
 * A task as `caller` may see it.
 *
 * @param lastFault the fault that `task.lastFaultId` names; undefined where there is none any more.
 */
export function taskMessage(task: Task, lastFault: Fault | undefined, caller: Caller): TaskMessage {
  return create(TaskSchema, {
    id: task.id,
    projectId: task.projectId,
    createdBy: task.createdBy,
    requestId: task.requestId ?? '',
    type: Task_Type[task.type],
    imageId: task.imageId,
    labels: task.labels,
    state: Task_State[task.state],
    phase: Phase[task.phase],
    message: task.message,
    progress: progressMessage(task),
    attempt: task.attempt,
    retryOf: task.retryOf ?? '',
    retriedBy: task.retriedBy ?? '',
    faultCount: task.faultCount,
    lastFault: faultMessageIfAny(lastFault, caller),
    revision: BigInt(task.revision),
    expireTime: timestampOf(task.expireTime),
    createTime: timestampOf(task.createTime),
    startTime: timestampOf(task.startTime),
    updateTime: timestampOf(task.updateTime),
    finishTime: timestampOf(task.finishTime),
    source: task.source ?? '',
    decompress: task.decompress,
  });
}

/** How many bytes of a task are done, and of how many. */
export function progressMessage(task: Readonly<Task>): Task_Progress {
  const { done, total } = bytesOf(task);
  return create(Task_ProgressSchema, {
    bytesDone: BigInt(done),
    bytesTotal: total === undefined ? undefined : BigInt(total),
    bytesStored: BigInt(task.storedBytes),
    bytesUnpacked: task.unpackedSize > 0 ? BigInt(task.unpackedSize) : undefined,
  });
}

/**
 * An event as `caller` may see it.
 *
 * @param fault the fault that `event.faultId` names.
 */
export function taskEventMessage(
  event: TaskEvent,
  fault: Fault | undefined,
  caller: Caller,
): TaskEventMessage {
  return create(TaskEventSchema, {
    taskId: event.taskId,
    revision: BigInt(event.revision),
    kind: TaskEvent_Kind[event.kind],
    state: Task_State[event.state],
    phase: Phase[event.phase],
    cause: event.cause,
    fault: faultMessageIfAny(fault, caller),
    bytesDone: BigInt(event.bytesDone),
    createTime: timestampOf(event.createTime),
  });
}
