import type { Logger } from 'pino';
import type { Database } from '../database/database.ts';
import { quotaError } from '../database/quota-exceeded.ts';
import type { DarkroomError } from '../domain/darkroom-error.ts';
import { unlimited } from './quota-amounts.ts';

/** How often it is looked what was set for projects, in ms. */
const lookIntervalMs = 1000;
/** How long what was taken from a bucket may be used, in ms. */
const sliceMs = 1000;
/** So many slices a second are taken by a busy process. */
const slicesPerSecond = 10;

/** What a process has taken from the bucket of a project. */
interface Slice {
  left: number;
  untilMs: number;
  /** Answers whether the bucket may have more. */
  taking: Promise<boolean> | undefined;
}

/**
 * Requests a second of each project, over all processes: from one bucket in the database, which holds what comes in a second,
 * each process takes a tenth of that at a time and uses it within a second. So in any t seconds there are at most
 * (t + 1) × limit requests, and a tenth of the limit more for each process, which it had taken before.
 *
 * A project without a limit costs one look into an empty map.
 */
export class RequestQuotas {
  readonly #default: number;
  readonly #logger: Logger;
  readonly #slices = new Map<string, Slice>();
  #limits: ReadonlyMap<string, number> = new Map();
  #database: Database | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param limit for projects for which no other is set; 0 for none. */
  constructor(limit: number, logger: Logger) {
    this.#default = limit || unlimited;
    this.#logger = logger;
  }

  /** Looks for what is set, now and then again and again. @throws the driver's errors, of the first look. */
  async start(database: Database): Promise<void> {
    await this.#look(database);
    this.#database = database;
    this.#timer ??= setInterval(() => {
      this.#look(database).catch((error: unknown) =>
        this.#logger.debug({ err: error }, 'could not look for limits of requests'),
      );
    }, lookIntervalMs).unref();
  }

  /** Looks no more. */
  stop(): void {
    clearInterval(this.#timer);
    this.#database = undefined;
  }

  /**
   * Counts a request of a project. Answers at once where that can be told at once; the error to refuse it with, or
   * undefined. While the database is away nothing is refused here.
   */
  refusalOf(projectId: string): DarkroomError | undefined | Promise<DarkroomError | undefined> {
    if (this.#default === unlimited && this.#limits.size === 0) {
      return undefined;
    }
    const limit = this.#limits.get(projectId) ?? this.#default;
    const database = this.#database;
    if (limit === unlimited || database === undefined) {
      return undefined;
    }
    const slice = this.#sliceOf(projectId);
    return this.#use(slice) ? undefined : this.#take(database, projectId, limit, slice);
  }

  async #look(database: Database): Promise<void> {
    const { rows } = await database.pool.query<{ project_id: string; rate: string }>(
      `select project_id, max_requests_per_second as rate from project_quotas
        where max_requests_per_second is not null`,
    );
    this.#limits = new Map(rows.map(({ project_id: id, rate }) => [id, Number(rate)]));
    const now = performance.now();
    for (const [projectId, { untilMs, taking }] of this.#slices) {
      if (taking === undefined && untilMs < now) {
        this.#slices.delete(projectId);
      }
    }
  }

  #sliceOf(projectId: string): Slice {
    let slice = this.#slices.get(projectId);
    if (slice === undefined) {
      slice = { left: 0, untilMs: 0, taking: undefined };
      this.#slices.set(projectId, slice);
    }
    return slice;
  }

  #use(slice: Slice): boolean {
    if (slice.left < 1 || performance.now() > slice.untilMs) {
      return false;
    }
    slice.left -= 1;
    return true;
  }

  async #take(
    database: Database,
    projectId: string,
    limit: number,
    slice: Slice,
  ): Promise<DarkroomError | undefined> {
    let mayHaveMore = true;
    while (mayHaveMore) {
      try {
        slice.taking ??= this.#fill(database, projectId, limit, slice);
        mayHaveMore = await slice.taking;
      } catch {
        return undefined;
      }
      // Of those who wait for a slice there may be more than it has.
      if (this.#use(slice)) {
        return undefined;
      }
    }
    return quotaError(
      { project: projectId, quota: 'requests_per_second', used: limit, limit, requested: 1 },
      limit > 0 ? Math.ceil(1000 / limit) : undefined,
    );
  }

  async #fill(
    database: Database,
    projectId: string,
    limit: number,
    slice: Slice,
  ): Promise<boolean> {
    try {
      const wanted = Math.max(1, Math.ceil(limit / slicesPerSecond));
      const { rows } = await database.run<{ granted: number }>({
        name: 'take requests',
        text: 'select quota_take_requests($1, $2, $3) as granted',
        values: [projectId, limit, wanted],
      });
      slice.left = rows[0]?.granted ?? 0;
      slice.untilMs = performance.now() + sliceMs;
      return slice.left === wanted;
    } finally {
      slice.taking = undefined;
    }
  }
}
