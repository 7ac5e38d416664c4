import type { EntityClass, EntityProperty } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from './database.ts';

/** A row as the pool gives it: columns by their names, bigint and times as texts. */
export type RawRow = Readonly<Record<string, unknown>>;

interface Column {
  /** Of the entity's property. */
  readonly name: string;
  readonly column: string;
  readonly convert: (value: unknown) => unknown;
}

function columnsOf<T extends object>(
  database: Database,
  entity: EntityClass<T>,
  prefix = '',
): Column[] {
  const { properties } = database.fork().getMetadata().get(entity);
  return Object.values<EntityProperty>(properties).map((property) => ({
    name: property.name,
    column: `${prefix}${property.fieldNames[0] ?? property.name}`,
    convert: conversions.get(property.runtimeType) ?? asItIs,
  }));
}

function entityReader<T extends object>(columns: readonly Column[]): (row: RawRow) => T {
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

/** How rows of an entity's table are read as parts of wider ones. */
export interface PrefixedRows<T extends object> {
  /** What follows `select`, of a table with the alias `prefix`: each column as `<prefix>_<column>`. */
  readonly select: string;
  /** What MikroORM would make of such a part, but not tracked by it. */
  readonly entityOf: (row: RawRow) => T;
}

/** For reads of several tables at once. */
export function prefixedRows<T extends object>(
  database: Database,
  entity: EntityClass<T>,
  prefix: string,
): PrefixedRows<T> {
  const columns = columnsOf(database, entity);
  return {
    select: columns.map(({ column }) => `${prefix}.${column} as ${prefix}_${column}`).join(', '),
    entityOf: entityReader(columnsOf(database, entity, `${prefix}_`)),
  };
}

/** How entities become rows in JSON, for statements that write many at once. */
export interface JsonRows<T extends object> {
  readonly columns: readonly string[];
  /** A row by its columns, as `json_populate_recordset` takes it. */
  readonly rowOf: (entity: T) => Record<string, unknown>;
}

/** @param only the properties that are written; all if not set. */
export function jsonRows<T extends object>(
  database: Database,
  entity: EntityClass<T>,
  only?: readonly (keyof T & string)[],
): JsonRows<T> {
  const columns = columnsOf(database, entity).filter(
    ({ name }) => only?.includes(name as keyof T & string) ?? true,
  );
  return {
    columns: columns.map(({ column }) => column),
    rowOf: (row) =>
      Object.fromEntries(columns.map(({ name, column }) => [column, row[name as keyof T]])),
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
  /** The columns that follow `select`, by their names. */
  readonly columns: string;
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
  const source = (known.get(entity) ?? sourceOf(database, entity)) as RowSource<T>;
  known.set(entity, source);
  return source;
}

/** The same of some properties of the entity only. */
export function partialRowSource<T extends object, Property extends keyof T & string>(
  database: Database,
  entity: EntityClass<T>,
  properties: readonly Property[],
): RowSource<Pick<T, Property>> {
  return sourceOf(database, entity, properties);
}

function sourceOf<T extends object>(
  database: Database,
  entity: EntityClass<T>,
  only?: readonly string[],
): RowSource<T> {
  const { tableName: table } = database.fork().getMetadata().get(entity);
  const wanted = columnsOf(database, entity).filter(({ name }) => only?.includes(name) ?? true);
  // Each by its name: a statement that was prepared with `*` fails once a newer process adds a column.
  const columns = wanted.map(({ column }) => column).join(', ');
  return {
    table,
    columns,
    select: `select ${columns} from ${table}`,
    entityOf: entityReader(wanted),
  };
}

const conversions = new Map<string, (value: unknown) => unknown>([
  ['number', Number],
  ['Date', (value) => new Date(String(value))],
]);

function asItIs(value: unknown): unknown {
  return value;
}
