import type { Logger } from 'pino';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../database/database.ts';
import { readsFor } from '../database/reads-for-projects.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { hasSignOfLife } from '../uploads/lease/writer-process.ts';
import {
  countedQuotas,
  defaultLimits,
  quotaNames,
  unlimited,
  type QuotaAmounts,
  type QuotaName,
  type QuotaSettings,
} from './quota-amounts.ts';

/** What a project uses and may use. */
export interface ProjectQuota {
  readonly projectId: string;
  readonly limits: QuotaAmounts;
  readonly overrides: Partial<QuotaAmounts>;
  readonly usage: QuotaAmounts;
  /** Raised by each change of its limits; 0 while there was none. */
  readonly version: number;
}

/** Limits to set; null for those of the settings. */
export type QuotaChange = Readonly<Partial<Record<QuotaName, number | null>>>;

type QuotaRow = Readonly<Record<string, string | number | null>>;

/**
 * Quotas of projects. What a project uses is counted by triggers (migration 0004) in the transaction of the change, as soon
 * as the project has a row in project_quotas. It gets one when a limit is set for it or, where the settings limit
 * all projects, before its first image and at each start.
 */
export class ProjectQuotas {
  readonly #database: Database;
  readonly #logger: Logger;
  readonly #defaults: QuotaAmounts;
  /** Whether the settings limit what is counted. */
  readonly #countsAll: boolean;
  readonly #counted = new Set<string>();

  constructor(database: Database, settings: QuotaSettings, logger: Logger) {
    this.#database = database;
    this.#logger = logger;
    this.#defaults = defaultLimits(settings);
    this.#countsAll = countedQuotas.some((name) => this.#defaults[name] !== unlimited);
  }

  /**
   * Says to the database what the settings allow, so that it holds for every process, and counts the projects that there
   * are where that is a limit.
   *
   * @throws the driver's errors.
   */
  async start(): Promise<void> {
    const set = quotaNames.map((name, i) => `max_${name} = $${i + 1}`).join(', ');
    const values = quotaNames.map((name) => this.#defaults[name]);
    const differs = quotaNames.map((name, i) => `max_${name} <> $${i + 1}`).join(' or ');
    await this.#database.pool.query(`update quota_defaults set ${set} where ${differs}`, values);
    await this.#database.pool.query('select quota_adopt_blobs()');
    await this.reconcile();
  }

  /**
   * Begins to count a project where the settings limit it, before its first image is made. At most one statement for a
   * project and process.
   *
   * @throws the driver's errors.
   */
  async ensureCounted(projectId: string): Promise<void> {
    if (this.#countsAll && !this.#counted.has(projectId)) {
      const { rowCount } = await this.#database.pool.query(
        'select from project_quotas where project_id = $1',
        [projectId],
      );
      if (rowCount === 0) {
        await this.#database.fork().transactional((em) => count(em, projectId));
      }
      this.#counted.add(projectId);
    }
  }

  /** What a project uses and may use; of one that is not counted, what there is of it. @throws the driver's errors. */
  async get(projectId: string): Promise<ProjectQuota> {
    const { rows } = await this.#database.runForProjects<QuotaRow>({
      name: 'quota of a project',
      text: `
       select ${quotaNames.map((name) => `q.max_${name}`).join(', ')}, coalesce(q.version, 0) as version,
              ${countedQuotas.map((name) => `coalesce(q.${name}, t.${name}) as ${name}`).join(', ')},
              (select count(*) from tasks join processes on processes.id = tasks.writer_process_id
                where tasks.project_id = $1 and tasks.type <> 'IMPORT' and ${hasSignOfLife}) as uploads,
              (select count(*) from tasks join processes on processes.id = tasks.writer_process_id
                where tasks.project_id = $1 and tasks.type = 'IMPORT' and ${hasSignOfLife}) as imports
         from (select) as one
         left join project_quotas q on q.project_id = $1
         left join lateral quota_truth($1) t on q.project_id is null
        where ${readsFor('$1')}`,
      values: [projectId],
    });
    return this.#quotaOf(projectId, rows[0] ?? {});
  }

  /**
   * Sets limits of a project, and counts it from then on.
   *
   * @param version the one that it must have; undefined for any.
   * @throws DarkroomError ETAG_MISMATCH; the driver's errors.
   */
  async update(
    projectId: string,
    change: QuotaChange,
    version: number | undefined,
  ): Promise<ProjectQuota> {
    const names = quotaNames.filter((name) => change[name] !== undefined);
    await this.#database.fork().transactional(async (em) => {
      await count(em, projectId);
      const [row]: { version: string }[] = await em.execute(
        'select version from project_quotas where project_id = ? for update',
        [projectId],
      );
      const current = Number(row?.version ?? 0);
      if (version !== undefined && version !== current) {
        throw new DarkroomError(
          'ETAG_MISMATCH',
          `The quota of project ${projectId} was changed since it was read. Read it again, and decide anew.`,
        );
      }
      await em.execute(
        `update project_quotas set ${names.map((name) => `max_${name} = ?`).join(', ')}, version = version + 1,
                update_time = now() where project_id = ?`,
        [...names.map((name) => change[name] ?? null), projectId],
      );
    });
    return this.get(projectId);
  }

  /**
   * Holds what is counted against what there is, and mends what differs, which nothing should. Where the settings limit
   * all projects, those that are not counted yet are.
   *
   * @returns how many projects differed.
   * @throws the driver's errors.
   */
  async reconcile(): Promise<number> {
    const { rows } = await this.#database.pool.query<{ project_id: string }>(
      this.#countsAll
        ? 'select project_id from project_quotas union select distinct project_id from images'
        : 'select project_id from project_quotas',
    );
    let differing = 0;
    for (const { project_id: projectId } of rows) {
      const difference = await this.#database.fork().transactional(async (em) => {
        await count(em, projectId);
        const [found]: QuotaRow[] = await em.execute(
          `update project_quotas q
              set ${countedQuotas.map((name) => `${name} = t.${name}`).join(', ')}
             from project_quotas was, quota_truth(?) t
            where q.project_id = ? and was.project_id = q.project_id
              and (${countedQuotas.map((name) => `q.${name} <> t.${name}`).join(' or ')})
           returning ${countedQuotas.map((n) => `was.${n} as ${n}_counted, t.${n} as ${n}_true`).join(', ')}`,
          [projectId, projectId],
        );
        return found;
      });
      if (difference !== undefined) {
        differing += 1;
        this.#logger.warn(
          { projectId, ...difference },
          'the usage of a project was counted wrongly',
        );
      }
    }
    return differing;
  }

  #quotaOf(projectId: string, row: QuotaRow): ProjectQuota {
    const overrides = Object.fromEntries(
      quotaNames.flatMap((name) => {
        const limit = row[`max_${name}`];
        return limit === null || limit === undefined ? [] : [[name, Number(limit)]];
      }),
    ) as Partial<QuotaAmounts>;
    const usage = Object.fromEntries(
      quotaNames.map((name) => [name, Number(row[name] ?? 0)]),
    ) as QuotaAmounts;
    return {
      projectId,
      limits: { ...this.#defaults, ...overrides },
      overrides,
      usage,
      version: Number(row['version'] ?? 0),
    };
  }
}

/**
 * Gives a project its row. Until the transaction ends nobody else changes what is counted of it: those who began before
 * have ended by then, and those who come later see the row. One project at a time, so that no two wait in a circle.
 */
async function count(em: EntityManager, projectId: string): Promise<void> {
  await em.execute('select pg_advisory_xact_lock(quota_lock_key())');
  await em.execute('select pg_advisory_xact_lock(quota_lock_key(), hashtext(?))', [projectId]);
  const columns = countedQuotas.join(', ');
  await em.execute(
    `insert into project_quotas (project_id, version, ${columns})
     select ?, 0, ${columns} from quota_truth(?)
         on conflict (project_id) do nothing`,
    [projectId, projectId],
  );
}
