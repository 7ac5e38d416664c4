import type { Logger } from 'pino';
import type { StatementObserver } from './statement.ts';

/** Far above what any hot statement takes, 0.2 to 5 ms: a lock that is held, a disk that hangs, a plan gone wrong. */
const slowMs = 1000;

/** Tells the log of statements that took longer than a second, by their names. */
export function slowStatements(logger: Pick<Logger, 'warn'>): StatementObserver {
  return (statement) => {
    const began = performance.now();
    return (error) => {
      const durationMs = Math.round(performance.now() - began);
      if (durationMs >= slowMs) {
        logger.warn(
          { statement, durationMs, ...(error !== undefined && { err: error }) },
          'a statement was slow',
        );
      }
    };
  };
}
