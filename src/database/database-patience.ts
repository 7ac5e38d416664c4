import { setTimeout as delay } from 'node:timers/promises';
import { isDatabaseAway } from './database-away.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';

/** How long an upload waits for a database that restarts: an embedded one is back in about a second. */
const uploadPatienceMs = 10_000;
const firstDelayMs = 50;
const longestDelayMs = 1000;

/** How long, and for what, something is repeated. */
export interface Patience {
  /** From the first try on, in ms. */
  readonly ms: number;
  /** Whether what went wrong may pass. */
  readonly isPassing: (error: unknown) => boolean;
  /** What is thrown when patience is at its end, for the last error. */
  readonly exhausted: (error: unknown) => Error;
  /** Told of each failure after which it is tried again. */
  readonly onFailure?: (error: unknown) => void;
  /** Ends the waiting. */
  readonly signal?: AbortSignal;
}

/**
 * Repeats `work`, which must be harmless to repeat, while it fails with what may pass.
 *
 * @throws what `exhausted` makes of the last error once patience is at its end; an AbortError if the signal fires;
 *   whatever else `work` throws.
 */
export async function repeatPatiently<T>(work: () => Promise<T>, patience: Patience): Promise<T> {
  const { ms, isPassing, exhausted, onFailure, signal } = patience;
  const deadline = performance.now() + ms;
  for (let wait = firstDelayMs; ; wait = Math.min(longestDelayMs, wait * 2)) {
    try {
      return await work();
    } catch (error) {
      if (!isPassing(error)) {
        throw error;
      }
      if (performance.now() + wait > deadline) {
        throw exhausted(error);
      }
      onFailure?.(error);
      await delay(wait, undefined, signal && { signal });
    }
  }
}

/**
 * Repeats `work` while the database cannot be reached, so that a restart of PostgreSQL does not break
 * the streams that are under way. `work` must be harmless to repeat.
 *
 * @throws DarkroomError DATABASE_UNAVAILABLE once patience is at its end; whatever else `work` throws.
 */
export function retryWhileDatabaseIsAway<T>(work: () => Promise<T>): Promise<T> {
  return repeatPatiently(work, {
    ms: uploadPatienceMs,
    isPassing: isDatabaseAway,
    exhausted: (error) =>
      new DarkroomError(
        'DATABASE_UNAVAILABLE',
        'The database cannot be reached. The upload can be resumed once it is back.',
        { cause: error, retryDelayMs: 1000 },
      ),
  });
}
