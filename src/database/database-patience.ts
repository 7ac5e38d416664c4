import { setTimeout as delay } from 'node:timers/promises';
import { isDatabaseAway } from './database-away.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';

/** How long an upload waits for a database that restarts: an embedded one is back in about a second. */
const patienceMs = 10_000;
const firstDelayMs = 50;
const longestDelayMs = 1000;

/**
 * Repeats `work` while the database cannot be reached, so that a restart of PostgreSQL does not break
 * the streams that are under way. `work` must be harmless to repeat.
 *
 * @throws DarkroomError DATABASE_UNAVAILABLE once patience is at its end; whatever else `work` throws.
 */
export async function retryWhileDatabaseIsAway<T>(work: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + patienceMs;
  for (let wait = firstDelayMs; ; wait = Math.min(longestDelayMs, wait * 2)) {
    try {
      return await work();
    } catch (error) {
      if (!isDatabaseAway(error)) {
        throw error;
      }
      if (Date.now() + wait > deadline) {
        throw new DarkroomError(
          'DATABASE_UNAVAILABLE',
          'The database cannot be reached. The upload can be resumed once it is back.',
          { cause: error, retryDelayMs: 1000 },
        );
      }
      await delay(wait);
    }
  }
}
