import { raw } from '@mikro-orm/core';
import type { Logger } from 'pino';
import type { Settings } from '../../config/settings.ts';
import type { Database } from '../../database/database.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { Image } from '../../records/image.ts';
import { expireTasks } from './expire-tasks.ts';
import { HistoryPruner } from './prune-history.ts';

/** What a sweeper works with. */
export interface TaskSweeperOptions {
  readonly database: Database;
  readonly settings: Pick<
    Settings,
    'sweepIntervalMs' | 'historyRetentionMs' | 'notComingRetentionMs'
  >;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  /** Called after a commit that left bytes to be removed. */
  readonly onBlobsReleased: () => void;
  /**
   * Deletes an image unless it was changed since it was read. May throw DarkroomError: the image is
   * then looked at again in the next sweep.
   */
  readonly deleteImage: (image: Image) => Promise<unknown>;
}

/** What one sweep did. */
export interface SweepReport {
  readonly tasksExpired: number;
  readonly tasksPruned: number;
  readonly imagesDeleted: number;
}

/** Images that one sweep deletes at most: each takes a transaction. */
const maxDeletions = 100;

// By the index images_not_coming, oldest first.
const notComing =
  "state = 'QUEUED' and outlook = 'NOT_COMING' and not protected and update_time < now()";

/**
 * Keeps the rule that nothing waits for ever, and that nothing is kept for ever: fails the tasks whose
 * time has passed, forgets history, and deletes images that will never come if that is wanted. Runs in
 * every process; what one has locked the others skip.
 */
export class TaskSweeper {
  readonly #options: TaskSweeperOptions;
  readonly #pruner: HistoryPruner;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<SweepReport> | undefined;
  #isStopping = false;
  #isFailing = false;

  constructor(options: TaskSweeperOptions) {
    this.#options = options;
    this.#pruner = new HistoryPruner(options.database, options.settings.historyRetentionMs);
  }

  /** Sweeps at once, and then again and again. */
  start(): void {
    this.#schedule(0);
  }

  /** Sweeps no more. A sweep under way ends after its present batch. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#timer);
    await this.#running?.catch(() => {});
  }

  /** Sweeps once; a call while another sweep runs gets that one's report. @throws the driver's errors. */
  sweep(): Promise<SweepReport> {
    this.#running ??= this.#sweep().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  #schedule(delayMs: number): void {
    if (this.#isStopping) {
      return;
    }
    this.#timer = setTimeout(() => {
      void this.#sweepAndLog().finally(() => {
        this.#schedule(this.#options.settings.sweepIntervalMs);
      });
    }, delayMs);
  }

  async #sweepAndLog(): Promise<void> {
    const { logger } = this.#options;
    try {
      const report = await this.sweep();
      this.#isFailing = false;
      if (Object.values(report).some((count) => count > 0)) {
        logger.info(report, 'swept tasks');
      }
    } catch (error) {
      // Once, and not every second while the database is away.
      if (!this.#isFailing) {
        logger.warn({ err: error }, 'could not sweep tasks');
      }
      this.#isFailing = true;
    }
  }

  async #sweep(): Promise<SweepReport> {
    const isStopping = (): boolean => this.#isStopping;
    const tasksExpired = await expireTasks(this.#options.database, isStopping);
    const pruned = await this.#pruner.prune(isStopping);
    if (pruned.blobs > 0) {
      this.#options.onBlobsReleased();
    }
    return {
      tasksExpired,
      tasksPruned: pruned.tasks,
      imagesDeleted: await this.#deleteNotComing(),
    };
  }

  async #deleteNotComing(): Promise<number> {
    const { database, settings, logger, deleteImage } = this.#options;
    const { notComingRetentionMs } = settings;
    if (notComingRetentionMs === 0) {
      return 0;
    }
    const images = await database
      .fork()
      .find(
        Image,
        { [raw(`${notComing} - ? * interval '1 ms'`, [notComingRetentionMs])]: [] },
        { orderBy: { updateTime: 'asc' }, limit: maxDeletions },
      );
    let deleted = 0;
    for (const image of images) {
      if (this.#isStopping) {
        break;
      }
      try {
        await deleteImage(image);
        deleted += 1;
        // The record of the removal, next to the image's own, which stays as DELETED.
        logger.info(
          {
            imageId: image.id,
            projectId: image.projectId,
            notComingSince: image.updateTime,
            lastFaultId: image.lastFaultId,
          },
          'deleted an image that would never come',
        );
      } catch (error) {
        if (!(error instanceof DarkroomError)) {
          throw error;
        }
      }
    }
    return deleted;
  }
}
