import { FieldChecks } from '../../domain/field-checks.ts';
import { parseId, type TaskId } from '../../records/ids.ts';
import { quoted } from '../../domain/quoted.ts';
import { taskStatuses, taskTypeWords, type TaskStatus, type TaskTypeWord } from './task-words.ts';

/** What lists can be sorted by: what Glance's clients ask for, and its default. */
const sortKeys = ['created_at', 'updated_at', 'id', 'status', 'type'] as const;
const sortDirections = ['asc', 'desc'] as const;
const parameters = ['limit', 'marker', 'marker_value', 'sort_key', 'sort_dir', 'status', 'type'];
const maxLimit = 1000;

/** What a list of tasks is asked, as Glance has it. */
export interface TaskListRequest {
  readonly status: TaskStatus | undefined;
  readonly type: TaskTypeWord | undefined;
  readonly sortKey: (typeof sortKeys)[number];
  readonly direction: (typeof sortDirections)[number];
  /** 0 to 1,000. */
  readonly limit: number;
  /** The last task that the client has; undefined for the beginning. */
  readonly marker: TaskId | undefined;
  /**
   * What the marker had of the sort key when its page was made, where that can change: a status, or a time. Not
   * Glance's: it stands in our own `next` links, so that a page is not moved by what happens to its marker.
   */
  readonly markerValue: string | undefined;
}

/**
 * Reads a list's query. Parameters that Glance does not have either are refused, not passed over: a filter that
 * is not applied would show its caller too much.
 *
 * @throws DarkroomError FIELD_INVALID
 */
export function taskListRequest(query: URLSearchParams, defaultLimit: number): TaskListRequest {
  const checks = new FieldChecks();
  for (const name of new Set(query.keys())) {
    if (!parameters.includes(name)) {
      checks.add(quoted(name), `is no parameter of this list; there are ${parameters.join(', ')}`);
    }
  }
  const oneOf = <T extends string>(name: string, allowed: readonly T[]): T | undefined => {
    const given = query.get(name);
    return given === null ? undefined : checks.oneOf(name, given, allowed);
  };
  const status = oneOf('status', taskStatuses);
  const type = oneOf('type', taskTypeWords);
  const sortKey = oneOf('sort_key', sortKeys) ?? 'created_at';
  const direction = oneOf('sort_dir', sortDirections) ?? 'desc';

  const limit = query.get('limit') ?? String(defaultLimit);
  if (!/^\d{1,15}$/.test(limit)) {
    checks.add('limit', `must be a whole number of 0 or more, not ${quoted(limit)}`);
  }
  const given = query.get('marker');
  const marker =
    given === null ? undefined : checks.attempt(() => parseId<TaskId>(given, 'marker'));
  const markerValue = query.get('marker_value') ?? undefined;
  if (markerValue !== undefined && !isValueOf(sortKey, markerValue)) {
    checks.add('marker_value', `is none of ${sortKey}; follow the "next" link as it is`);
  }
  checks.settle({});
  return {
    status,
    type,
    sortKey,
    direction,
    limit: Math.min(Number(limit), maxLimit),
    marker,
    markerValue,
  };
}

function isValueOf(sortKey: TaskListRequest['sortKey'], value: string): boolean {
  switch (sortKey) {
    case 'status':
      return taskStatuses.some((status) => status === value);
    case 'updated_at':
      return (
        /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value) && !Number.isNaN(Date.parse(value))
      );
    default:
      return false;
  }
}
