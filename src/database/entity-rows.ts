import type { EntityClass, EntityProperty } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from './database.ts';

/** A row as `select *` through the pool gives it: columns by their names, bigint and times as texts. */
export type RawRow = Readonly<Record<string, unknown>>;

/**
 * Makes the function that turns rows of `select *` into what MikroORM would make of them, but without
 * tracking them: for reads that are too frequent for a unit of work each.
 */
export function entityReader<T extends object>(
  database: Database,
  entity: EntityClass<T>,
): (row: RawRow) => T {
  const { properties } = database.fork().getMetadata().get(entity);
  const columns = Object.values<EntityProperty>(properties).map((property) => ({
    name: property.name,
    column: property.fieldNames[0] ?? property.name,
    convert: conversions.get(property.runtimeType) ?? asItIs,
  }));
  return (row) =>
    Object.fromEntries(
      columns.map(({ name, column, convert }) => {
        const value = row[column];
        return [name, value === null || value === undefined ? value : convert(value)];
      }),
    ) as T;
}

/** The columns of an entity's table. */
export function columnNames(em: EntityManager, entity: EntityClass<object>): string[] {
  const { properties } = em.getMetadata().get(entity);
  return Object.values<EntityProperty>(properties).flatMap(({ fieldNames }) => fieldNames);
}

interface RowSource {
  /** All before the condition. */
  readonly select: string;
  readonly entityOf: (row: RawRow) => object;
}

const sources = new WeakMap<Database, Map<EntityClass<object>, RowSource>>();

/**
 * Reads one row by a prepared statement and without a unit of work: for reads that are very frequent. Of
 * GetImage, MikroORM's way took more than half of all CPU time. The entity is not tracked: for reading only.
 *
 * @param condition with `$1` and so on for the values; part of the statement's name, so short and constant.
 */
export async function readRow<T extends object>(
  database: Database,
  entity: EntityClass<T>,
  condition: string,
  values: unknown[],
): Promise<T | undefined> {
  const { select, entityOf } = sourceOf(database, entity);
  const { rows } = await database.run<RawRow>({
    name: `${entity.name} where ${condition}`,
    text: `${select} where ${condition}`,
    values,
  });
  const [row] = rows;
  return row && (entityOf(row) as T);
}

function sourceOf<T extends object>(database: Database, entity: EntityClass<T>): RowSource {
  const known = sources.get(database) ?? new Map<EntityClass<object>, RowSource>();
  sources.set(database, known);
  let source = known.get(entity);
  if (source === undefined) {
    const em = database.fork();
    const { tableName } = em.getMetadata().get(entity);
    // Each by its name: a statement that was prepared with `*` fails once a column is added.
    const columns = columnNames(em, entity);
    source = {
      select: `select ${columns.join(', ')} from ${tableName}`,
      entityOf: entityReader(database, entity),
    };
    known.set(entity, source);
  }
  return source;
}

const conversions = new Map<string, (value: unknown) => unknown>([
  ['number', Number],
  ['Date', (value) => new Date(String(value))],
]);

function asItIs(value: unknown): unknown {
  return value;
}
