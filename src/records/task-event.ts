import { defineEntity, p, type PrimaryKeyProp } from '@mikro-orm/core';
import type { FaultId, TaskId } from './ids.ts';
import type { TaskPhase, TaskState } from './task.ts';

/** Kinds of events, as in the contract's enum without its prefix. */
export type TaskEventKind =
  'CREATED' | 'STATE_CHANGED' | 'PHASE_CHANGED' | 'FAULT' | 'WRITER_CHANGED' | 'RETRIED';

const TaskEventSchema = defineEntity({
  name: 'TaskEvent',
  tableName: 'task_events',
  properties: {
    taskId: p.uuid().primary().$type<TaskId>(),
    /** The task's revision after the change; counts from 1 without gaps. */
    revision: p.bigint('number').primary(),
    kind: p.text().$type<TaskEventKind>(),
    state: p.text().$type<TaskState>(),
    phase: p.text().$type<TaskPhase>(),
    cause: p.text(),
    faultId: p.uuid().$type<FaultId>().nullable(),
    bytesDone: p.bigint('number'),
    createTime: p.datetime(3),
  },
});

/** A row of `task_events`; never changed once written. */
export class TaskEvent extends TaskEventSchema.class {
  declare [PrimaryKeyProp]?: ['taskId', 'revision'];
}
TaskEventSchema.setClass(TaskEvent);
export { TaskEventSchema };
