import type { EntityClass, EntityProperty } from '@mikro-orm/core';
import type { Database } from '../database/database.ts';

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

const conversions = new Map<string, (value: unknown) => unknown>([
  ['number', Number],
  ['Date', (value) => new Date(String(value))],
]);

function asItIs(value: unknown): unknown {
  return value;
}
