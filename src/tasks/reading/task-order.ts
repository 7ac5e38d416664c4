import type { Keyset } from '../../lists/keyset.ts';
import type { Fault } from '../../records/fault.ts';
import type { TaskEvent } from '../../records/task-event.ts';
import type { Task } from '../../records/task.ts';

/** Orders of ListTasks, as in the contract's enum without its prefix. */
export const taskOrders = ['CREATE_TIME_DESC', 'CREATE_TIME_ASC', 'UPDATE_TIME_DESC'] as const;
export type TaskOrder = (typeof taskOrders)[number];

/** What a task's place in a list is known by, in all orders. */
export const placeProperties = [
  'id',
  'createTime',
  'updateTime',
] as const satisfies readonly (keyof Task)[];
export type TaskPlace = Pick<Task, (typeof placeProperties)[number]>;

const id = { sql: 'id', kind: 'uuid', of: (task: TaskPlace) => task.id } as const;
const createTime = {
  sql: 'create_time',
  kind: 'time',
  of: (task: TaskPlace) => task.createTime.getTime(),
} as const;
const updateTime = {
  sql: 'update_time',
  kind: 'time',
  of: (task: TaskPlace) => task.updateTime.getTime(),
} as const;

/** Each order has an index with just these columns, behind project and state. */
export const taskKeysets: Readonly<Record<TaskOrder, Keyset<TaskPlace>>> = {
  CREATE_TIME_DESC: { columns: [createTime, id], direction: 'desc' },
  CREATE_TIME_ASC: { columns: [createTime, id], direction: 'asc' },
  UPDATE_TIME_DESC: { columns: [updateTime, id], direction: 'desc' },
};

/** Newest first: ids of faults sort by their time. */
export const faultKeyset: Keyset<Pick<Fault, 'id'>> = {
  columns: [{ sql: 'id', kind: 'uuid', of: (fault) => fault.id }],
  direction: 'desc',
};

/** Newest first, for the faults of one task: by their count, whichever processes' clocks their ids came from. */
export const faultSequenceKeyset: Keyset<Fault> = {
  columns: [{ sql: 'sequence', kind: 'integer', of: (fault) => fault.sequence }],
  direction: 'desc',
};

/** Oldest first, for the events of one task. */
export const eventKeyset: Keyset<TaskEvent> = {
  columns: [{ sql: 'revision', kind: 'integer', of: (event) => event.revision }],
  direction: 'asc',
};
