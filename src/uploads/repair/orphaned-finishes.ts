import type { Logger } from 'pino';
import type { Database } from '../../database/database.ts';
import type { TaskId } from '../../records/ids.ts';
import type { FinishClaim } from '../publishing/finish-claim.ts';
import type { UploadService } from '../receiving/upload-service.ts';

/** So many are completed at the same time: each reads a whole image again. */
const lanes = 4;

/** An upload of which all bytes and the finish were received. */
interface OrphanedFinish {
  readonly taskId: TaskId;
  readonly claim: FinishClaim;
}

/**
 * "Once a finish was taken, the task completes by itself": completes, in the background, uploads whose
 * process died while it checked the whole.
 */
export class OrphanedFinishes {
  readonly #database: Database;
  readonly #uploads: UploadService;
  readonly #logger: Logger;
  readonly #waiting = new Map<TaskId, OrphanedFinish>();
  readonly #running = new Map<TaskId, Promise<void>>();

  constructor(database: Database, uploads: UploadService, logger: Logger) {
    this.#database = database;
    this.#uploads = uploads;
    this.#logger = logger;
  }

  /** Finds those that nobody completes, and begins with them. Answers how many are new. @throws the driver's errors. */
  async takeUp(): Promise<number> {
    const { rows } = await this.#database.pool.query<{
      id: TaskId;
      finish_size: string;
      finish_sha256: string | null;
    }>(`
      select id, finish_size, finish_sha256 from tasks
      where state = 'RUNNING' and finish_size = committed_size and writer_process_id is null`);
    const found = rows.filter(
      ({ id }) => !this.#waiting.has(id) && !this.#running.has(id) && !this.#uploads.holds(id),
    );
    for (const { id: taskId, finish_size, finish_sha256 } of found) {
      const claim = { totalSize: Number(finish_size), sha256: finish_sha256 ?? undefined };
      this.#waiting.set(taskId, { taskId, claim });
    }
    this.#begin();
    return found.length;
  }

  /** Resolves when all that were found have been completed, or have failed. Never rejects. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) {
      await Promise.all(this.#running.values());
    }
  }

  #begin(): void {
    for (const [taskId, finish] of this.#waiting) {
      if (this.#running.size >= lanes) {
        break;
      }
      this.#waiting.delete(taskId);
      const running = this.#complete(finish).finally(() => {
        this.#running.delete(taskId);
        this.#begin();
      });
      this.#running.set(taskId, running);
    }
  }

  /** Never rejects: a fault is on the task, and the next repair tries again until it expires. */
  async #complete({ taskId, claim }: OrphanedFinish): Promise<void> {
    try {
      await this.#uploads.complete(taskId, claim);
      this.#logger.info({ taskId }, 'completed an upload whose finish had been received');
    } catch (error) {
      this.#logger.info({ err: error, taskId }, 'a received finish could not be completed');
    }
  }
}
