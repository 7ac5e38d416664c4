import type { EntityManager } from '@mikro-orm/postgresql';
import type { ProcessId } from '../../records/ids.ts';

/** SQL: whether a row of processes gave a sign of life lately (see ProcessRegistry, which gives them). */
export const hasSignOfLife = `processes.heartbeat_time > now() - interval '10 seconds'`;

/** Whether a process is known to live. One that is not holds nothing. */
export async function isProcessAlive(em: EntityManager, id: ProcessId): Promise<boolean> {
  const rows: unknown[] = await em.execute(
    `select 1 from processes where id = ? and ${hasSignOfLife}`,
    [id],
  );
  return rows.length > 0;
}
