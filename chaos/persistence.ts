import { setTimeout as sleep } from 'node:timers/promises';
import { readFailure } from './call-failure.ts';
import type { Connection } from './connection.ts';
import type { CallOptions } from '@connectrpc/connect';

/** Reasons for which a call is simply made again. */
const passingReasons: ReadonlySet<string> = new Set([
  'DATABASE_UNAVAILABLE',
  'SERVER_DRAINING',
  'STORAGE_UNAVAILABLE',
]);

/** How long a caller goes on to try: longer than any restart takes. */
const persistenceMs = 90_000;

/**
 * Makes a call that is harmless to repeat, over ever new connections, until it is answered.
 *
 * @param refused decides on an answer that no repeating will change: what it returns is returned.
 * @throws what the call threw, unless `refused` made something of it.
 */
export async function persist<T>(
  connect: () => Connection,
  call: (connection: Connection, options: CallOptions) => Promise<T>,
  refused?: (reason: string) => T | undefined,
): Promise<T> {
  const deadline = performance.now() + persistenceMs;
  for (;;) {
    const connection = connect();
    try {
      return await call(connection, connection.bounded());
    } catch (error) {
      const { reason } = readFailure(error);
      const passes = reason === undefined || passingReasons.has(reason);
      if (!passes || performance.now() > deadline) {
        const instead = reason === undefined ? undefined : refused?.(reason);
        if (instead === undefined) {
          throw error;
        }
        return instead;
      }
    } finally {
      connection.cut();
    }
    await sleep(100);
  }
}
