import type { EntityManager } from '@mikro-orm/postgresql';

/** The database's time, in ms precision: one clock for all processes. */
export async function databaseTime(em: EntityManager): Promise<Date> {
  const rows: { now: Date | string }[] = await em.execute(
    'select clock_timestamp()::timestamptz(3) as now',
  );
  return new Date(rows[0]?.now ?? Date.now());
}
