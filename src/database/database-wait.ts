import { untilAborted } from '../domain/abortable.ts';
import { isDatabaseAway } from './database-away.ts';
import { repeatPatiently } from './database-patience.ts';
import type { Database } from './database.ts';
import { EmbeddedPostgresError } from './embedded-postgres/errors.ts';

/** How often the log is told that the database is still waited for, in ms. */
const reminderMs = 30_000;

/** What is logged goes here; pino fits. */
export interface WaitLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** Thrown when a start gives up; the message says what was waited for, for how long, and what to do. */
export class DatabaseWaitError extends Error {
  override readonly name = 'DatabaseWaitError';
}

/** How a start waits. */
export interface DatabaseWaitOptions {
  /** How long each time the database is away, in ms. */
  readonly patienceMs: number;
  readonly logger: WaitLogger;
  /** Goes on each line of the log. */
  readonly fields: object;
  /** Fires when the start is to be given up. */
  readonly signal: AbortSignal;
}

/** Waits, in a start, for a database that is away, and tells of it. */
export class DatabaseWait {
  readonly #options: DatabaseWaitOptions;
  /** When the database was first found away, by performance.now(); undefined while it is there. */
  #since: number | undefined;
  #toldAt = 0;

  constructor(options: DatabaseWaitOptions) {
    this.#options = options;
  }

  /** What the start waits for, in words that anybody may read. */
  get standing(): string {
    const { patienceMs } = this.#options;
    return this.#since === undefined
      ? 'the service is starting'
      : `the service is starting: it has waited for its database for ${secondsSince(this.#since)} s, ` +
          `and gives up after ${seconds(patienceMs)} s`;
  }

  /**
   * Does a step of the start again and again while the database is away, or dies under it. It must be harmless
   * to repeat, and end when the signal fires. What waiting does not mend, such as a wrong password, is final.
   *
   * @throws DatabaseWaitError once patience is at its end; anything if the signal has fired; whatever else the step
   *   throws.
   */
  async until<T>(step: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { patienceMs, signal } = this.#options;
    signal.throwIfAborted();
    const result = await repeatPatiently(() => step(signal), {
      ms: patienceMs,
      signal,
      isPassing: (error) => !signal.aborted && isPassing(error),
      onFailure: (error) => this.#tell(error),
      exhausted: (error) => this.#exhausted(error),
    });
    this.#tellEnd();
    return result;
  }

  /** As `until`, for a step that uses the database and knows of no signal: it is left alone when that fires. */
  async untilDone<T>(database: Database, step: () => Promise<T>): Promise<T> {
    return this.until(async (signal) => {
      try {
        return await untilAborted(signal, step());
      } catch (error) {
        throw database.explain(error);
      }
    });
  }

  #tell(error: unknown): void {
    const { patienceMs, logger, fields } = this.#options;
    const now = performance.now();
    if (this.#since === undefined || now - this.#toldAt > reminderMs) {
      this.#since ??= now;
      this.#toldAt = now;
      logger.warn(
        { ...fields, err: error, waitedS: secondsSince(this.#since) },
        `waiting for the database, for ${seconds(patienceMs)} s at most: ${messageOf(error)}`,
      );
    }
  }

  #tellEnd(): void {
    if (this.#since !== undefined) {
      const { logger, fields } = this.#options;
      const waitedS = secondsSince(this.#since);
      this.#since = undefined;
      logger.info({ ...fields, waitedS }, 'the database is there, and the start goes on');
    }
  }

  #exhausted(error: unknown): Error {
    const { patienceMs } = this.#options;
    return new DatabaseWaitError(
      `The database was waited for for ${seconds(patienceMs)} s (DARKROOM_DATABASE_WAIT_MS) in vain: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

function isPassing(error: unknown): boolean {
  return isDatabaseAway(error) || (error instanceof EmbeddedPostgresError && error.mayPass);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function secondsSince(since: number): number {
  return seconds(performance.now() - since);
}

function seconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}
