import type { EntityClass } from '@mikro-orm/core';
import { BatchedRead } from './batched-read.ts';
import type { Database } from './database.ts';
import { rowSource, type RawRow } from './entity-rows.ts';

/** Rows of one statement. */
const maxBatch = 500;
/** A connection that says nothing for so long is given up, in ms: nothing is waited for but pages of an index. */
const timeoutMs = 10_000;

const lookups = new WeakMap<Database, Map<unknown, unknown>>();

/**
 * Reads rows of an entity's table by their ids, in batches: for reads that are very frequent. A row is one for all
 * who ask for it at the same time, and not tracked: for reading only.
 */
export function rowsById<T extends { readonly id: string }>(
  database: Database,
  entity: EntityClass<T>,
): BatchedRead<T['id'], Readonly<T>> {
  const known = lookups.get(database) ?? new Map<unknown, unknown>();
  lookups.set(database, known);
  const lookup = (known.get(entity) ?? lookupOf(database, entity)) as BatchedRead<
    T['id'],
    Readonly<T>
  >;
  known.set(entity, lookup);
  return lookup;
}

function lookupOf<T extends { readonly id: string }>(
  database: Database,
  entity: EntityClass<T>,
): BatchedRead<T['id'], Readonly<T>> {
  const { table, select, entityOf } = rowSource(database, entity);
  // By the primary key.
  const statement = { name: `${table} by id`, text: `${select} where id = any($1)`, timeoutMs };
  return new BatchedRead(async (ids) => {
    const { rows } = await database.run<RawRow>({ ...statement, values: [ids] });
    return new Map(rows.map(entityOf).map((row) => [row.id, row]));
  }, maxBatch);
}
