import { hostname } from 'node:os';
import type { Logger } from 'pino';
import type { Database } from '../database/database.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { TaskId } from '../records/ids.ts';
import { Task } from '../records/task.ts';
import type { UploadService } from '../uploads/receiving/upload-service.ts';
import type { WriterLease } from '../uploads/lease/writer-lease.ts';
import { settleImport, type RetryPolicy } from './import-end.ts';
import { fetchImport, type FetchParts } from './import-fetch.ts';
import { ImportOrder } from '../records/import-order.ts';
import type { SecretKeys } from '../secrets/secret-keys.ts';
import { openOrderOfAny, type OrderSecrets } from './sealed-orders.ts';
import { findDueImports, keepImportsWaiting } from './import-queue.ts';

/** How many imports are fetched at the same time. */
export interface ImportLimits extends RetryPolicy {
  /** By this process. */
  readonly maxImports: number;
  /** Of one project, over all processes. */
  readonly maxImportsPerProject: number;
}

/** What imports work with. */
export interface ImportServiceParts extends FetchParts {
  readonly database: Database;
  readonly uploads: UploadService;
  readonly limits: ImportLimits;
  /** What addresses and headers are encrypted by. */
  readonly secretKeys: SecretKeys;
  readonly logger: Logger;
  /** How often other processes' imports are looked for, in ms; 1 s if not set. */
  readonly pollIntervalMs?: number;
}

const defaultPollIntervalMs = 1000;

/**
 * Fetches imports: claims those that are due, a few at a time, and brings their bytes in as a client
 * would, through the same sessions. A claim is a writer's lease: a worker that dies, or loses the
 * database, loses it, and another one goes on from the committed bytes.
 */
export class ImportService {
  readonly #parts: ImportServiceParts;
  readonly #running = new Map<TaskId, Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #mustLookAgain = false;
  #isStopping = false;
  #isFailing = false;

  constructor(parts: ImportServiceParts) {
    this.#parts = parts;
  }

  /** Looks for imports at once, and then again and again. */
  start(): void {
    if (this.#parts.limits.maxImports > 0) {
      this.wake();
    }
  }

  /** Says that there may be an import to fetch. */
  wake(): void {
    if (this.#isStopping || this.#parts.limits.maxImports === 0) {
      return;
    }
    clearTimeout(this.#timer);
    if (this.#looking) {
      this.#mustLookAgain = true;
      return;
    }
    this.#looking = this.#look().finally(() => {
      this.#looking = undefined;
      this.#schedule();
    });
  }

  /** Claims no more; what is being fetched goes on. */
  claimNoMore(): void {
    this.#isStopping = true;
    clearTimeout(this.#timer);
  }

  /**
   * Claims no more. Resolves when what is being fetched has ended, which `UploadService.drain` brings
   * about. Never rejects.
   */
  async stop(): Promise<void> {
    this.claimNoMore();
    await this.#looking;
    await Promise.all(this.#running.values());
  }

  #schedule(): void {
    if (this.#isStopping) {
      return;
    }
    if (this.#mustLookAgain) {
      this.#mustLookAgain = false;
      this.wake();
      return;
    }
    // Spread, so that processes that were started together do not ask together.
    const interval = this.#parts.pollIntervalMs ?? defaultPollIntervalMs;
    this.#timer = setTimeout(() => this.wake(), interval * (0.75 + Math.random() / 2));
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const { database, logger } = this.#parts;
    try {
      await this.#claimAll();
      await keepImportsWaiting(database);
      this.#isFailing = false;
    } catch (error) {
      // Once, and not every second while the database is away.
      if (!this.#isFailing) {
        logger.warn({ err: error }, 'could not look for imports');
      }
      this.#isFailing = true;
    }
  }

  async #claimAll(): Promise<void> {
    while (!this.#isStopping && this.#isFree()) {
      const due = await findDueImports(this.#parts.database, [...this.#running.keys()]);
      let claimed = 0;
      for (const taskId of due) {
        if (!this.#isFree()) {
          return;
        }
        claimed += (await this.#begin(taskId)) ? 1 : 0;
      }
      if (claimed === 0) {
        return;
      }
    }
  }

  #isFree(): boolean {
    return this.#running.size < this.#parts.limits.maxImports;
  }

  /** Resolves once it is known whether the import is this process's; it then goes on by itself. */
  #begin(taskId: TaskId): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    let isClaimed = false;
    const onClaimed = (): void => {
      isClaimed = true;
      resolve(true);
    };
    const running = this.#fetch(taskId, onClaimed).finally(() => {
      resolve(false);
      this.#running.delete(taskId);
      // One that must wait would be found again at once.
      if (isClaimed) {
        this.wake();
      }
    });
    this.#running.set(taskId, running);
    return promise;
  }

  /** Never rejects: what goes wrong is on the task. */
  async #fetch(taskId: TaskId, onClaimed: () => void): Promise<void> {
    const { uploads, limits, logger } = this.#parts;
    let sent: OrderSecrets | undefined;
    try {
      const outcome = await uploads.fetch(taskId, {
        peer: `an import worker on ${hostname()}`,
        maxOfProject: limits.maxImportsPerProject,
        fetch: async (interruption, take, lease) => {
          onClaimed();
          const order = await this.#orderOf(lease);
          sent = order;
          return fetchImport(this.#parts, order, lease, interruption, take);
        },
        settle: (entry, error) => settleImport(entry, error, limits, sent),
      });
      if (outcome) {
        logger.info({ taskId, bytes: outcome.committedSize }, 'an image was imported');
      }
    } catch (error) {
      const { reason } = error as DarkroomError;
      logger.info({ taskId, reason }, 'a try of an import ended');
    }
  }

  async #orderOf({ taskId }: WriterLease): Promise<ImportOrder> {
    const em = this.#parts.database.fork();
    const task = await em.findOneOrFail(Task, { id: taskId });
    const order = await em.findOne(ImportOrder, { imageId: task.imageId });
    if (!order) {
      throw new DarkroomError('INTERNAL', `Nothing says what task ${taskId} is to fetch.`);
    }
    // Nobody's unit of work writes it back.
    return Object.assign(order, await openOrderOfAny(this.#parts.secretKeys, order));
  }
}
