import type { EntityClass } from '@mikro-orm/core';
import type { Database } from './database.ts';
import { rowSource, type RawRow } from './entity-rows.ts';
import type { RowsForProject } from './rows-for-project.ts';

/**
 * SQL: the row of an id that PostgreSQL shows to a project, as a table of that name: behind the second wall, which stands
 * where a statement forgets to ask whose the row is (migration 0006).
 */
export function shownRow(table: string, id: string, project: string): string {
  return `${table}_for_project(${id}, ${project}) as ${table}`;
}

/**
 * As `rowsForProject`, but behind the second wall, and each row by a statement of its own: for reads that are not the
 * most frequent ones, for it takes half as long again.
 *
 * @param sees SQL: whether a row of the entity's table is seen by the project $2.
 */
export function shownRows<T extends { readonly id: string }>(
  database: Database,
  entity: EntityClass<T>,
  sees: string,
): RowsForProject<T> {
  const { table, columns, entityOf } = rowSource(database, entity);
  const name = `${table} shown to a project`;
  const text = `select ${columns} from ${shownRow(table, '$1', '$2')} where ${sees}`;
  return {
    async read(projectId, id) {
      const { rows } = await database.run<RawRow>({ name, text, values: [id, projectId] });
      return rows[0] && entityOf(rows[0]);
    },
  };
}
