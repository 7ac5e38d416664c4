import type { Database } from '../../database/database.ts';
import type { Caller } from '../../access/caller.ts';
import { FieldChecks } from '../../domain/field-checks.ts';
import { fingerprint } from '../../domain/fingerprint.ts';
import { readLastFaults, withLastFault } from './last-faults.ts';
import { readPage, type Keyset } from '../../lists/keyset.ts';
import { encodePageToken } from '../../lists/page-token.ts';
import { checkTaskFilter } from './task-filter.ts';
import { taskKeysets, type TaskPlace } from './task-order.ts';
import { readTasks } from './task-queries.ts';
import type { TaskSnapshot } from './task-reader.ts';
import type { TaskFilter } from './list-requests.ts';

/** What tasks can be sorted by. Ties are broken by id. */
export type TaskSortColumn = 'createTime' | 'updateTime' | 'id';

/** Where a page begins: after the task with this id, whose column holds or held this time. */
export interface TaskPosition {
  readonly id: string;
  /** The value of the column that is sorted by; of no meaning where that is the id. */
  readonly time: Date;
}

/** What is to be listed. */
export interface ListTasksAfterRequest {
  readonly filter: TaskFilter;
  readonly column: TaskSortColumn;
  readonly direction: 'asc' | 'desc';
  /** 1 to 1,000. */
  readonly limit: number;
  /** Undefined for the beginning. */
  readonly after: TaskPosition | undefined;
}

/**
 * Lists the tasks of the caller's project that come after a place in their order: what ListTasks does, for
 * protocols whose clients name the last row that they have instead of a page token.
 *
 * @throws DarkroomError FIELD_INVALID
 */
export async function listTasksAfter(
  database: Database,
  caller: Caller,
  request: ListTasksAfterRequest,
): Promise<{ readonly rows: readonly TaskSnapshot[]; readonly hasMore: boolean }> {
  const checks = new FieldChecks();
  const filter = checkTaskFilter(checks, request.filter);
  checks.wholeNumber('limit', request.limit, 1, 1000);
  checks.settle({});

  const { after } = request;
  const columns = sortColumns[request.column];
  // The token is used at once, so that no other query can come by it.
  const query = { list: 'tasks after' };
  const keys = after && (columns.length === 1 ? [after.id] : [after.time.getTime(), after.id]);
  const pageToken = keys ? encodePageToken(fingerprint(query), keys) : '';
  const page = await readPage(
    { pageSize: request.limit, pageToken },
    query,
    { columns, direction: request.direction },
    (slice) => readTasks(database, `${request.column} ${request.direction}`, caller, filter, slice),
  );
  const faults = await readLastFaults(database, caller, page.rows);
  return {
    rows: page.rows.map((task) => withLastFault(task, faults)),
    hasMore: page.nextPageToken !== '',
  };
}

// Those of ListTasks, whose indexes are read in either direction.
const sortColumns: Readonly<Record<TaskSortColumn, Keyset<TaskPlace>['columns']>> = {
  createTime: taskKeysets.CREATE_TIME_DESC.columns,
  updateTime: taskKeysets.UPDATE_TIME_DESC.columns,
  id: [{ sql: 'id', kind: 'uuid', of: (task) => task.id }],
};
