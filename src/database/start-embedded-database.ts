import { realpath } from 'node:fs/promises';
import type { DatabaseWait } from './database-wait.ts';
import { startInLockedFolder, type PostgresLogger } from './embedded-postgres.ts';

/** Where an embedded PostgreSQL is to run. */
export interface EmbeddedDatabaseStart {
  /** Has been locked. */
  readonly dataDir: string;
  readonly wait: DatabaseWait;
  readonly logger: PostgresLogger;
  /** Given what is to be done when the service stops or the start fails. */
  readonly onStop: (name: string, stop: () => Promise<void>) => void;
}

/**
 * Starts the embedded PostgreSQL, again while what keeps it from starting may pass. Answers its URL.
 *
 * @throws DatabaseWaitError, EmbeddedPostgresError.
 */
export async function startEmbeddedDatabase({
  dataDir,
  wait,
  logger,
  onStop,
}: EmbeddedDatabaseStart): Promise<string> {
  const postgres = await wait.until(async (signal) =>
    startInLockedFolder({ dataDir: await realpath(dataDir), logger, signal }),
  );
  onStop('PostgreSQL', () => postgres.stop());
  return postgres.connectionString;
}
