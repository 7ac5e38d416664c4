import type { EntityClass } from '@mikro-orm/core';
import type { Placed } from '../domain/placed.ts';
import type { Database } from './database.ts';
import { partialRowSource, rowSource, type RawRow } from './entity-rows.ts';
import { readsFor } from './reads-for-projects.ts';

/** What holds for the rows of a run: SQL, with `?` for each of its values. */
export interface Run {
  readonly sql: string;
  readonly values: readonly (string | number)[];
}

/** Rows that are put together from runs of an index, each of which is in the order that is asked for. */
export interface Runs {
  /** Part of the statement's name, so short and constant. */
  readonly name: string;
  /** Whether the statement is asked for so often, in so few forms, that each connection keeps it. */
  readonly isPrepared: boolean;
  readonly runs: readonly Run[];
  /** Of all runs, the rows after these; not set for all rows. */
  readonly after?: Run | undefined;
  /** SQL of what `orderBy` orders by, where a row may be in two runs; not set if none is. */
  readonly distinctBy?: string;
  /** SQL: what follows `order by`. */
  readonly orderBy: string;
  readonly limit: number;
}

/**
 * Reads the first rows of runs taken together for a project, not tracked by any unit of work, behind the second wall: only
 * for short runs of keys and times. Of nothing else does PostgreSQL use an index there, and as it does not know the project when
 * it plans, it expects to be shown next to nothing of a run: a long one it reads whole, and the table rather than the index.
 *
 * @throws the driver's errors.
 */
export async function readRuns<T extends object>(
  database: Database,
  entity: EntityClass<T>,
  projectId: string,
  runs: Runs,
): Promise<Placed<T, T>[]> {
  const { table, select, entityOf } = rowSource(database, entity);
  const { rows } = await database.runForProjects<RawRow>({
    name: `${table} of ${runs.name}`,
    isPrepared: runs.isPrepared,
    ...numbered(firstOf(`${select} where ${readsFor('?')} and`, runs, [projectId])),
  });
  return rows.map(entityOf).map((row) => ({ place: row, row }));
}

/**
 * The same for runs of any kind. Where the rows are is looked up by the indexes, before the second wall, and of what is
 * found there only its place; the rows themselves are then read by their ids, behind it, if they are in one of the runs by then.
 *
 * Merge append: of each run as many rows are looked at as are needed, which for a page of 100 tasks are 54 buffers and
 * 0.14 ms; by the ids of each run's first 100 it took 2,042 buffers.
 *
 * @param properties of a row, what is known of its place: its id, and what `orderBy` and `distinctBy` take.
 * @throws the driver's errors.
 */
export async function readFoundRuns<
  T extends { readonly id: string },
  Property extends keyof T & string,
>(
  database: Database,
  entity: EntityClass<T>,
  properties: readonly (Property | 'id')[],
  projectId: string,
  runs: Runs,
): Promise<Placed<Pick<T, Property | 'id'>, T>[]> {
  const { name, isPrepared } = runs;
  const place = partialRowSource(database, entity, properties);
  const found = await database.run<RawRow>({
    name: `places of ${place.table} of ${name}`,
    isPrepared,
    ...numbered(firstOf(`${place.select} where`, runs, [])),
  });
  if (found.rows.length === 0) {
    return [];
  }
  const ids = found.rows.map((row) => row['id']);
  const { table, select, entityOf } = rowSource(database, entity);
  // `is true`, so that no index is asked for it: with those of visibility it was not the ids that were looked up.
  const isInARun = runs.runs.map(({ sql }) => `(${sql})`).join(' or ');
  const { rows } = await database.runForProjects<RawRow>({
    name: `${table} of ${name}`,
    isPrepared,
    ...numbered({
      sql: `${select} where ${readsFor('?')} and ${table}.id = any (?) and (${isInARun}) is true`,
      values: [projectId, ids, ...runs.runs.flatMap(({ values }) => values)],
    }),
  });
  const byId = new Map<unknown, T>(rows.map(entityOf).map((row) => [row.id, row]));
  return found.rows.map((row) => ({
    // Only the last one's is asked for.
    get place() {
      return place.entityOf(row);
    },
    row: byId.get(row['id']),
  }));
}

interface Sql {
  readonly sql: string;
  readonly values: readonly unknown[];
}

/** @param select what comes before the conditions of each run, with its `values`. */
function firstOf(
  select: string,
  { runs, after, distinctBy, orderBy, limit }: Runs,
  values: readonly unknown[],
): Sql {
  const first = `order by ${orderBy} limit ?`;
  const further = after ? ` and ${after.sql}` : '';
  const parts = runs.map(({ sql }) => `(${select} ${sql}${further} ${first})`);
  const partValues = runs.flatMap((run) => [
    ...values,
    ...run.values,
    ...(after?.values ?? []),
    limit,
  ]);
  if (parts.length === 1) {
    return { sql: parts.join(''), values: partValues };
  }
  const distinct = distinctBy === undefined ? '' : `distinct on (${distinctBy})`;
  return {
    sql: `select ${distinct} * from (${parts.join(' union all ')}) as runs ${first}`,
    values: [...partValues, limit],
  };
}

/** For PostgreSQL, whose parameters have numbers. */
function numbered({ sql, values }: Sql): {
  readonly text: string;
  readonly values: readonly unknown[];
} {
  let place = 0;
  return { text: sql.replaceAll('?', () => `$${(place += 1)}`), values };
}
