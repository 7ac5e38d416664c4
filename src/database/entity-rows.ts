import type { EntityClass, EntityProperty } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from './database.ts';

/** A row as the pool gives it: columns by their names, bigint and times as texts. */
export type RawRow = Readonly<Record<string, unknown>>;

function entityReader<T extends object>(
  database: Database,
  entity: EntityClass<T>,
): (row: RawRow) => T {
  const { properties } = database.fork().getMetadata().get(entity);
  const columns = Object.values<EntityProperty>(properties).map((property) => ({
    name: property.name,
    column: property.fieldNames[0] ?? property.name,
    convert: conversions.get(property.runtimeType) ?? asItIs,
  }));
  // Properties that are added one by one, by names that are known only when the code runs, make a table of hashes: 1,600
  // bytes for each task that is watched, in place of 330. A copy of what has all of them already does not.
  const names = columns.map(({ name }) => [name, null]);
  const empty = JSON.parse(JSON.stringify(Object.fromEntries(names))) as Record<string, unknown>;
  return (row) => {
    const entity: Record<string, unknown> = { ...empty };
    for (const { name, column, convert } of columns) {
      const value = row[column];
      entity[name] = value === null || value === undefined ? value : convert(value);
    }
    return entity as T;
  };
}

/** The columns of an entity's table. */
export function columnNames(em: EntityManager, entity: EntityClass<object>): string[] {
  const { properties } = em.getMetadata().get(entity);
  return Object.values<EntityProperty>(properties).flatMap(({ fieldNames }) => fieldNames);
}

/** How rows of an entity's table are read without a unit of work. */
export interface RowSource<T extends object> {
  readonly table: string;
  /** `select … from …`, without a condition; each column by its name. */
  readonly select: string;
  /** What MikroORM would make of a row, but not tracked by it: for reading only. */
  readonly entityOf: (row: RawRow) => T;
}

const sources = new WeakMap<Database, Map<EntityClass<object>, RowSource<object>>>();

/** For reads that are too frequent for a unit of work each. */
export function rowSource<T extends object>(
  database: Database,
  entity: EntityClass<T>,
): RowSource<T> {
  const known = sources.get(database) ?? new Map<EntityClass<object>, RowSource<object>>();
  sources.set(database, known);
  let source = known.get(entity);
  if (source === undefined) {
    const em = database.fork();
    const { tableName } = em.getMetadata().get(entity);
    // Each by its name: a statement that was prepared with `*` fails once a newer process adds a column.
    const columns = columnNames(em, entity);
    source = {
      table: tableName,
      select: `select ${columns.join(', ')} from ${tableName}`,
      entityOf: entityReader(database, entity),
    };
    known.set(entity, source);
  }
  return source as RowSource<T>;
}

const conversions = new Map<string, (value: unknown) => unknown>([
  ['number', Number],
  ['Date', (value) => new Date(String(value))],
]);

function asItIs(value: unknown): unknown {
  return value;
}
