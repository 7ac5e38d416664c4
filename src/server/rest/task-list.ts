import type { Database } from '../../database/database.ts';
import type { Caller } from '../../access/caller.ts';
import { DarkroomError, invalidField } from '../../domain/darkroom-error.ts';
import {
  listTasksAfter,
  type ListTasksAfterRequest,
  type TaskPosition,
  type TaskSortColumn,
} from '../../tasks/reading/list-tasks-after.ts';
import { getTask } from '../../tasks/reading/task-queries.ts';
import type { TaskSnapshot } from '../../tasks/reading/task-reader.ts';
import type { Task } from '../../records/task.ts';
import type { TaskListRequest } from './task-list-request.ts';
import {
  statesOf,
  statusOf,
  taskStatuses,
  taskTypeWords,
  typeOfWord,
  typeWordOf,
  type TaskStatus,
  type TaskTypeWord,
} from './task-words.ts';

/** One page of a list. */
export interface TaskListPage {
  readonly rows: readonly TaskSnapshot[];
  /** What the query of the next page has besides that of this one; undefined on the last page. */
  readonly next: Readonly<Record<string, string>> | undefined;
}

/**
 * Lists tasks as Glance does, by marker.
 *
 * @param imageId whose tasks; those of the whole project if undefined.
 * @throws DarkroomError FIELD_INVALID
 */
export async function listTasksOfGlance(
  database: Database,
  caller: Caller,
  request: TaskListRequest,
  imageId: string | undefined,
): Promise<TaskListPage> {
  if (request.limit === 0) {
    return { rows: [], next: undefined };
  }
  const marker = request.marker && (await findMarker(database, caller, request.marker));
  const rows: TaskSnapshot[] = [];
  let hasMore = false;
  for (const run of runsOf(request, marker)) {
    const room = request.limit - rows.length;
    const page = await listTasksAfter(database, caller, {
      filter: { ...noFilter, ...filterOf(run), imageId },
      column: columns[request.sortKey],
      direction: request.direction,
      limit: Math.max(room, 1),
      after: run.after,
    });
    rows.push(...page.rows.slice(0, room));
    hasMore = page.hasMore || page.rows.length > room;
    if (hasMore) {
      break;
    }
  }
  const last = rows.at(-1)?.task;
  return { rows, next: hasMore && last ? markerOf(request, last) : undefined };
}

/** A part of a list with one status or one type, in which tasks stand by their time. */
interface Run {
  readonly status: TaskStatus | undefined;
  readonly type: TaskTypeWord | undefined;
  readonly after: TaskPosition | undefined;
}

// Within one status or type the times decide: those have an index, and no task changes its own.
const columns: Readonly<Record<TaskListRequest['sortKey'], TaskSortColumn>> = {
  created_at: 'createTime',
  updated_at: 'updateTime',
  id: 'id',
  status: 'createTime',
  type: 'createTime',
};

const noFilter: ListTasksAfterRequest['filter'] = {
  states: [],
  types: [],
  imageId: undefined,
  labels: {},
  createdAfter: undefined,
  createdBefore: undefined,
  updatedAfter: undefined,
  updatedBefore: undefined,
  hasFaults: undefined,
};

function filterOf({ status, type }: Run): Pick<typeof noFilter, 'states' | 'types'> {
  return { states: status ? statesOf(status) : [], types: type ? [typeOfWord(type)] : [] };
}

/** What is left of a list after its marker, run by run. A list is one run, unless it is sorted by words. */
function runsOf(request: TaskListRequest, marker: Readonly<Task> | undefined): readonly Run[] {
  const { status, type, sortKey, direction, markerValue } = request;
  if (sortKey !== 'status' && sortKey !== 'type') {
    const current = sortKey === 'updated_at' ? marker?.updateTime : marker?.createTime;
    const time = markerValue === undefined ? current : new Date(markerValue);
    return [{ status, type, after: marker && time && { id: marker.id, time } }];
  }
  const runs =
    sortKey === 'status'
      ? taskStatuses.map((word) => ({ word, status: word, type }))
      : taskTypeWords.map((word) => ({ word, status, type: word }));
  const ordered = direction === 'asc' ? runs : runs.toReversed();
  const word = marker && (sortKey === 'type' ? typeWordOf(marker.type) : statusOf(marker.state));
  const begin =
    word === undefined ? 0 : ordered.findIndex((run) => run.word === (markerValue ?? word));
  return ordered
    .slice(begin)
    .map((run, i) => ({
      status: run.status,
      type: run.type,
      after: marker && i === 0 ? { id: marker.id, time: marker.createTime } : undefined,
    }))
    .filter((run) => (status ?? run.status) === run.status && (type ?? run.type) === run.type);
}

function markerOf(request: TaskListRequest, last: Readonly<Task>): Record<string, string> {
  switch (request.sortKey) {
    case 'status':
      return { marker: last.id, marker_value: statusOf(last.state) };
    case 'updated_at':
      return { marker: last.id, marker_value: last.updateTime.toISOString() };
    default:
      return { marker: last.id };
  }
}

async function findMarker(
  database: Database,
  caller: Caller,
  marker: string,
): Promise<Readonly<Task>> {
  try {
    return (await getTask(database, caller, marker)).task;
  } catch (error) {
    if (error instanceof DarkroomError && error.reason === 'TASK_NOT_FOUND') {
      throw invalidField('marker', `names no task of this project: ${marker}`);
    }
    throw error;
  }
}
