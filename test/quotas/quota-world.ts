import { pino } from 'pino';
import type { Database } from '../../src/database/database.ts';
import { readSettings } from '../../src/config/settings.ts';
import { ProjectQuotas } from '../../src/quotas/project-quotas.ts';
import type { QuotaSettings } from '../../src/quotas/quota-amounts.ts';

/** The quotas as one process has them. */
export function quotasOn(database: Database, settings: Partial<QuotaSettings> = {}): ProjectQuotas {
  return new ProjectQuotas(
    database,
    { ...readSettings({}), ...settings },
    pino({ level: 'silent' }),
  );
}

/** What is counted of a project, and what there is of it. */
export async function countedAndTrue(
  database: Database,
  projectId: string,
): Promise<{ readonly counted: object; readonly truth: object }> {
  const columns = 'stored_bytes::int, in_flight_bytes::int, images::int, live_tasks::int';
  const counted = await database.pool.query<object>(
    `select ${columns} from project_quotas where project_id = $1`,
    [projectId],
  );
  const truth = await database.pool.query<object>(`select ${columns} from quota_truth($1)`, [
    projectId,
  ]);
  return { counted: counted.rows[0] ?? {}, truth: truth.rows[0] ?? {} };
}
