import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../../database/database.ts';
import type { Caller } from '../../access/caller.ts';
import { FieldChecks } from '../../domain/field-checks.ts';
import type { Placed } from '../../domain/placed.ts';
import { parseId, type ImageId, type TaskId } from '../../records/ids.ts';
import { readOwnImage } from '../../access/find-image.ts';
import { findLastFaults, readLastFaults, withLastFault } from './last-faults.ts';
import { ownFaults } from '../../access/find-fault.ts';
import { readTask } from '../../access/find-task.ts';
import { visibleProject } from '../../access/rights.ts';
import { readFoundRuns, readRuns, type Runs } from '../../database/read-runs.ts';
import { readPage, runsOfStates, type PageSlice } from '../../lists/keyset.ts';
import { pageSize, type Page } from '../../lists/page.ts';
import { Fault } from '../../records/fault.ts';
import { TaskEvent } from '../../records/task-event.ts';
import { checkTaskFilter, taskConditions, taskFilterContent, taskStatesOf } from './task-filter.ts';
import {
  eventKeyset,
  faultKeyset,
  faultSequenceKeyset,
  placeProperties,
  taskKeysets,
  taskOrders,
  type TaskPlace,
} from './task-order.ts';
import type { EventRecord, TaskSnapshot } from './task-reader.ts';
import type {
  ListFaultsRequest,
  ListTaskEventsRequest,
  ListTasksRequest,
  TaskFilter,
} from './list-requests.ts';
import { Task } from '../../records/task.ts';

/**
 * Reads a task of the caller's project.
 *
 * @throws DarkroomError FIELD_INVALID, TASK_NOT_FOUND
 */
export async function getTask(
  database: Database,
  caller: Caller,
  taskId: string,
): Promise<TaskSnapshot> {
  const id = parseId<TaskId>(taskId, 'task_id');
  return readSnapshot(database, caller, await readTask(database, caller, id));
}

/** A task of the caller's project that no unit of work has, with its newest fault. */
export async function readSnapshot(
  database: Database,
  caller: Caller,
  task: Readonly<Task>,
): Promise<TaskSnapshot> {
  const { lastFaultId } = task;
  return {
    task,
    lastFault: lastFaultId
      ? await ownFaults(database).read(visibleProject(caller), lastFaultId)
      : undefined,
  };
}

/** A task as it is in a unit of work, with its newest fault. */
export async function snapshotOf(em: EntityManager, task: Task): Promise<TaskSnapshot> {
  return withLastFault(task, await findLastFaults(em, [task]));
}

/**
 * Lists the tasks of the caller's project, in pages.
 *
 * @throws DarkroomError FIELD_INVALID, PAGE_TOKEN_INVALID
 */
export async function listTasks(
  database: Database,
  caller: Caller,
  request: ListTasksRequest,
): Promise<Page<TaskSnapshot>> {
  const checks = new FieldChecks();
  const filter = checkTaskFilter(checks, request.filter);
  const order = checks.oneOf('order_by', request.order ?? 'CREATE_TIME_DESC', taskOrders);
  checks.attempt(() => pageSize(request.pageSize));
  const checked = checks.settle({ order });

  const query = {
    list: 'tasks',
    projectId: visibleProject(caller),
    order: checked.order,
    filter: taskFilterContent(filter),
  };
  const page = await readPage(request, query, taskKeysets[checked.order], (slice) =>
    readTasks(database, checked.order, caller, filter, slice),
  );
  const faults = await readLastFaults(database, caller, page.rows);
  return {
    rows: page.rows.map((task) => withLastFault(task, faults)),
    nextPageToken: page.nextPageToken,
  };
}

/**
 * Reads the tasks of a slice, of the caller's project and a checked filter.
 *
 * Both orders have an index that begins with project and state. A page is put together from the first
 * rows of each state's run, in one statement, so that the tasks in a rare state are found at once among
 * a million others.
 */
export async function readTasks(
  database: Database,
  order: string,
  caller: Caller,
  filter: TaskFilter,
  slice: PageSlice,
): Promise<readonly Placed<TaskPlace, Task>[]> {
  const conditions = taskConditions(filter);
  const states = taskStatesOf(filter);
  const projectId = visibleProject(caller);
  return readFoundRuns(database, Task, placeProperties, projectId, {
    ...runsOfStates(projectId, states, conditions, slice, order),
    // All of them and those of a state are what is asked for most.
    isPrepared: conditions.length === 0 && (states.length === 1 || filter.states.length === 0),
  });
}

/**
 * Lists faults of a task, of an image or of the caller's project, newest first, in pages.
 *
 * @throws DarkroomError FIELD_INVALID, PAGE_TOKEN_INVALID, TASK_NOT_FOUND, IMAGE_NOT_FOUND, IMAGE_NOT_OWNED
 */
export async function listFaults(
  database: Database,
  caller: Caller,
  request: ListFaultsRequest,
): Promise<Page<Fault>> {
  const { of } = request;
  if (of?.kind === 'task') {
    const task = await readTask(database, caller, parseId<TaskId>(of.taskId, 'task_id'));
    const query = { list: 'faults', taskId: task.id };
    return readPage(request, query, faultSequenceKeyset, (slice) =>
      readRuns(database, Fault, visibleProject(caller), runOf('task_id', task.id, slice)),
    );
  }
  if (of?.kind === 'image') {
    const image = await readOwnImage(database, caller, parseId<ImageId>(of.imageId, 'image_id'));
    const query = { list: 'faults', imageId: image.id };
    return readPage(request, query, faultKeyset, (slice) =>
      readRuns(database, Fault, visibleProject(caller), runOf('image_id', image.id, slice)),
    );
  }
  const projectId = visibleProject(caller);
  return readPage(request, { list: 'faults', projectId }, faultKeyset, (slice) =>
    readFoundRuns(database, Fault, ['id'], projectId, runOf('project_id', projectId, slice)),
  );
}

/**
 * Lists the events of a task, oldest first, in pages.
 *
 * @throws DarkroomError FIELD_INVALID, PAGE_TOKEN_INVALID, TASK_NOT_FOUND
 */
export async function listTaskEvents(
  database: Database,
  caller: Caller,
  request: ListTaskEventsRequest,
): Promise<Page<EventRecord>> {
  const task = await readTask(database, caller, parseId<TaskId>(request.taskId, 'task_id'));
  const query = { list: 'events', taskId: task.id };
  const page = await readPage(request, query, eventKeyset, (slice) =>
    readRuns(database, TaskEvent, visibleProject(caller), runOf('task_id', task.id, slice)),
  );
  const faults = await readLastFaults(
    database,
    caller,
    page.rows.map((event) => ({ lastFaultId: event.faultId })),
  );
  return {
    rows: page.rows.map((event) => ({
      event,
      fault: event.faultId ? faults.get(event.faultId) : undefined,
    })),
    nextPageToken: page.nextPageToken,
  };
}

/** All rows of one task, image or project: one run. */
function runOf(column: string, id: string, { after, orderBy, limit }: PageSlice): Runs {
  const condition = `${column} = ?`;
  return {
    name: `${column}${after ? ', further' : ''}`,
    isPrepared: true,
    runs: [{ sql: condition, values: [id] }],
    after,
    orderBy,
    limit,
  };
}
