import type { FieldChecks } from '../../domain/field-checks.ts';
import type { Fingerprintable } from '../../domain/fingerprint.ts';
import { parseId, type ImageId } from '../../records/ids.ts';
import { checkLabels } from '../../records/field-limits.ts';
import type { SqlCondition } from '../../lists/keyset.ts';
import type { TaskFilter } from './list-requests.ts';
import { taskStates, taskTypes, type Task, type TaskState } from '../../records/task.ts';

/** Checks the filter of a list or a watch. Answers it with its ids in lower case. */
export function checkTaskFilter(checks: FieldChecks, filter: TaskFilter): TaskFilter {
  for (const [name, values, allowed] of [
    ['states', filter.states, taskStates],
    ['types', filter.types, taskTypes],
  ] as const) {
    for (const value of new Set(values)) {
      checks.oneOf(`filter.${name}`, value, allowed);
    }
  }
  for (const [name, time] of [
    ['created_after', filter.createdAfter],
    ['created_before', filter.createdBefore],
    ['updated_after', filter.updatedAfter],
    ['updated_before', filter.updatedBefore],
  ] as const) {
    if (time && Number.isNaN(time.getTime())) {
      checks.add(`filter.${name}`, 'must be a time from year 1 to year 9999');
    }
  }
  checkLabels(checks, 'filter.labels', filter.labels);
  const { imageId } = filter;
  return {
    ...filter,
    imageId:
      imageId === undefined
        ? undefined
        : checks.attempt(() => parseId<ImageId>(imageId, 'filter.image_id')),
  };
}

/** A filter's content for a page token; the order of states and types does not count. */
export function taskFilterContent(filter: TaskFilter): Fingerprintable {
  return {
    states: sorted(filter.states),
    types: sorted(filter.types),
    imageId: filter.imageId,
    labels: filter.labels,
    createdAfter: filter.createdAfter?.getTime(),
    createdBefore: filter.createdBefore?.getTime(),
    updatedAfter: filter.updatedAfter?.getTime(),
    updatedBefore: filter.updatedBefore?.getTime(),
    hasFaults: filter.hasFaults,
  };
}

function sorted(values: readonly string[]): string[] {
  return [...new Set(values)].sort();
}

/** The states of the tasks that a checked filter shows. */
export function taskStatesOf(filter: TaskFilter): readonly TaskState[] {
  return filter.states.length === 0
    ? taskStates
    : taskStates.filter((state) => filter.states.includes(state));
}

/** The conditions of a checked filter besides its states. `matchesTaskFilter` says the same in memory. */
export function taskConditions(filter: TaskFilter): SqlCondition[] {
  const conditions: SqlCondition[] = [];
  const add = (sql: string, ...values: string[]): void => {
    conditions.push({ sql, values });
  };
  if (filter.types.length > 0) {
    const types = [...new Set(filter.types)];
    add(`type in (${types.map(() => '?').join(', ')})`, ...types);
  }
  if (filter.imageId !== undefined) {
    add('image_id = ?', filter.imageId);
  }
  if (Object.keys(filter.labels).length > 0) {
    add('labels @> ?::jsonb', JSON.stringify(filter.labels));
  }
  // No task changes before it is created. PostgreSQL cannot know that: with what follows from it, the
  // index of the one time also serves a filter by the other (3 ms in place of 500 among 1,000,000 tasks).
  for (const [sql, time] of [
    ['create_time >= ?', filter.createdAfter],
    ['update_time >= ?', filter.createdAfter],
    ['create_time < ?', filter.createdBefore],
    ['update_time >= ?', filter.updatedAfter],
    ['update_time < ?', filter.updatedBefore],
    ['create_time < ?', filter.updatedBefore],
  ] as const) {
    if (time) {
      add(sql, time.toISOString());
    }
  }
  if (filter.hasFaults !== undefined) {
    add(filter.hasFaults ? 'fault_count > 0' : 'fault_count = 0');
  }
  return conditions;
}

/** Whether a checked filter shows a task of its project: what `taskConditions` say in SQL. */
export function matchesTaskFilter(filter: TaskFilter, task: Readonly<Task>): boolean {
  return (
    taskStatesOf(filter).includes(task.state) &&
    (filter.types.length === 0 || filter.types.includes(task.type)) &&
    (filter.imageId === undefined || filter.imageId === task.imageId) &&
    Object.entries(filter.labels).every(([key, value]) => task.labels[key] === value) &&
    (!filter.createdAfter || task.createTime >= filter.createdAfter) &&
    (!filter.createdBefore || task.createTime < filter.createdBefore) &&
    (!filter.updatedAfter || task.updateTime >= filter.updatedAfter) &&
    (!filter.updatedBefore || task.updateTime < filter.updatedBefore) &&
    (filter.hasFaults === undefined || filter.hasFaults === task.faultCount > 0)
  );
}
