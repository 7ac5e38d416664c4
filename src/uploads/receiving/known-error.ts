import type { Logger } from 'pino';
import { isDatabaseAway } from '../../database/database-away.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';

/** A database that restarts is there again in about a second. */
const retryDelayMs = 1000;

/** What a caller may see of an error; what was not foreseen is logged here, since its text goes no further. */
export function knownError(error: unknown, logger: Logger): DarkroomError {
  if (error instanceof DarkroomError) {
    return error;
  }
  if (isDatabaseAway(error)) {
    return new DarkroomError(
      'DATABASE_UNAVAILABLE',
      'The database cannot be reached. The upload can be resumed once it is back.',
      { cause: error, retryDelayMs },
    );
  }
  logger.error({ err: error }, 'an upload failed in a way that was not foreseen');
  return new DarkroomError(
    'INTERNAL',
    'The upload was ended by a failure of the service itself. It can be resumed.',
    { cause: error },
  );
}
