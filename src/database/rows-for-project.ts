import type { EntityClass } from '@mikro-orm/core';
import { askedKey, askedRowsForProjects, askedValues } from './asked-rows.ts';
import { BatchedRead } from './batched-read.ts';
import type { Database } from './database.ts';
import { readsFor } from './reads-for-projects.ts';
import { rowSource, type RawRow } from './entity-rows.ts';

/** Rows of one statement. */
const maxBatch = 500;
/** A connection that says nothing for so long is given up, in ms: nothing is waited for but pages of an index. */
const timeoutMs = 10_000;

/** Reads rows by their ids, each for a project. */
export interface RowsForProject<T extends { readonly id: string }> {
  /** The row, read after the call; undefined where there is none that the project may see. @throws the driver's errors. */
  read(projectId: string, id: T['id']): Promise<Readonly<T> | undefined>;
}

/**
 * As `rowsById`, for callers: which rows a project sees is part of the statement, and PostgreSQL shows no others where
 * there is the second wall.
 *
 * @param sees SQL: whether a row of the entity's table is seen by the project `asked_project`. One for each entity.
 */
export function rowsForProject<T extends { readonly id: string }>(
  database: Database,
  entity: EntityClass<T>,
  sees: string,
): RowsForProject<T> {
  const known = lookups.get(database) ?? new Map<unknown, unknown>();
  lookups.set(database, known);
  const lookup = (known.get(entity) ?? lookupOf(database, entity, sees)) as RowsForProject<T>;
  known.set(entity, lookup);
  return lookup;
}

const lookups = new WeakMap<Database, Map<unknown, unknown>>();

function lookupOf<T extends { readonly id: string }>(
  database: Database,
  entity: EntityClass<T>,
  sees: string,
): RowsForProject<T> {
  const { table, columns, entityOf } = rowSource(database, entity);
  // By the primary key.
  const statement = {
    name: `${table} by id for projects`,
    text: askedRowsForProjects({
      columns,
      from: table,
      where: `${table}.id = asked_id and ${sees}`,
    }),
    timeoutMs,
  };
  // Of who is alone: PostgreSQL takes 18 µs less of 84, which is more than the wall costs.
  const alone = {
    name: `${table} by id for a project`,
    text: `
      select ${columns}
        from ${table}, (select $1::uuid as asked_id, $2::text as asked_project) as asked
       where ${readsFor('$2')} and ${table}.id = asked_id and ${sees}`,
    timeoutMs,
  };
  const batch = new BatchedRead<string, Readonly<T>>(async (keys) => {
    const [key] = keys;
    if (key !== undefined && keys.length === 1) {
      const [, [id], [projectId]] = askedValues(keys);
      const { rows } = await database.runForProjects<RawRow>({ ...alone, values: [id, projectId] });
      return new Map(rows.map((row) => [key, entityOf(row)]));
    }
    const { rows } = await database.runForProjects<RawRow>({
      ...statement,
      values: askedValues(keys),
    });
    return new Map(rows.map((row) => [String(row['asked_key']), entityOf(row)]));
  }, maxBatch);
  return { read: (projectId, id) => batch.read(askedKey(id, projectId)) };
}
