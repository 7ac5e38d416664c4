import type { EntityClass } from '@mikro-orm/core';
import type { Database } from './database.ts';
import { rowSource, type RawRow } from './entity-rows.ts';

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
  /** SQL of what `orderBy` orders by, where a row may be in two runs; not set if none is. */
  readonly distinctBy?: string;
  /** SQL: what follows `order by`. */
  readonly orderBy: string;
  readonly limit: number;
}

/**
 * Reads the first rows of runs taken together, not tracked by any unit of work. Merge append: of each run as many
 * rows are read as are needed, which for a page of 100 tasks are 54 buffers and 0.14 ms; by the ids of each run's first
 * 100 it took 2,042 buffers.
 *
 * @throws the driver's errors.
 */
export async function readRuns<T extends object>(
  database: Database,
  entity: EntityClass<T>,
  { name, isPrepared, runs, distinctBy, orderBy, limit }: Runs,
): Promise<T[]> {
  const { table, select, entityOf } = rowSource(database, entity);
  const first = `order by ${orderBy} limit ?`;
  const parts = runs.map(({ sql }) => `(${select} where ${sql} ${first})`);
  const whole =
    parts.length === 1
      ? parts.join('')
      : `select ${distinctBy === undefined ? '' : `distinct on (${distinctBy})`} * from (${parts.join(' union all ')}) as runs ${first}`;
  const values = runs.flatMap((run) => [...run.values, limit]);
  let place = 0;
  const { rows } = await database.run<RawRow>({
    name: `${table} of ${name}`,
    isPrepared,
    text: whole.replaceAll('?', () => `$${(place += 1)}`),
    values: parts.length === 1 ? values : [...values, limit],
  });
  return rows.map(entityOf);
}
