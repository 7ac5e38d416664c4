import { DarkroomError } from '../../domain/darkroom-error.ts';

/** When to try again after the database could not be reached, in ms. */
const retryDelayMs = 1000;

/** What callers are told while the database cannot be reached. */
export function databaseUnavailable(message: string, cause?: unknown): DarkroomError {
  return new DarkroomError('DATABASE_UNAVAILABLE', message, { retryDelayMs, cause });
}
