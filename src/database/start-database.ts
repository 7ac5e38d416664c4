import { untilAborted } from '../domain/abortable.ts';
import type { DatabaseWait } from './database-wait.ts';
import { Database, type DatabaseOptions } from './database.ts';
import type { PostgresLogger } from './embedded-postgres/postmaster.ts';
import { startEmbeddedDatabase } from './start-embedded-database.ts';

/** Which database a start is to use. */
export interface DatabaseStart extends Omit<DatabaseOptions, 'url'> {
  /** Undefined for an embedded PostgreSQL below the data folder, which must be locked then. */
  readonly databaseUrl: string | undefined;
  /** The URL of an embedded PostgreSQL that another process runs, or is about to run. */
  readonly embedded?: Promise<string> | undefined;
  readonly dataDir: string;
  readonly wait: DatabaseWait;
  readonly logger: PostgresLogger;
  /** Given what is to be done, in the opposite order, when the service stops or the start fails. */
  readonly onStop: (name: string, stop: () => Promise<void>) => void;
}

/** A database that is there, with a schema that is up to date. */
export interface StartedDatabase {
  readonly database: Database;
  /** For connections of one's own. */
  readonly url: string;
}

/**
 * Starts the embedded PostgreSQL where it is wanted, connects, and brings the schema up to date; waits for what is
 * away.
 *
 * @throws DatabaseWaitError, EmbeddedPostgresError, DatabaseConnectError, or what PostgreSQL's driver throws.
 */
export async function startDatabase(start: DatabaseStart): Promise<StartedDatabase> {
  const { wait, logger, onStop } = start;
  const url = start.databaseUrl ?? (await embeddedUrl(start));
  const database = await Database.open({ ...start, url });
  onStop('database connections', () => database.close());
  await wait.untilDone(database, () => database.ping());
  const migrations = await wait.untilDone(database, () => database.migrate());
  if (migrations.length > 0) {
    logger.info({ migrations }, 'the database schema was brought up to date');
  }
  if (!(await wait.untilDone(database, () => database.hasWall()))) {
    logger.warn(
      {},
      'the user of the database may not become the role darkroom_tenant: rows of projects are kept apart by the statements ' +
        'alone, without row-level security (docs/security.md, "The second wall")',
    );
  }
  return { database, url };
}

function embeddedUrl(start: DatabaseStart): Promise<string> {
  const { embedded, wait } = start;
  return embedded
    ? wait.until((signal) => untilAborted(signal, embedded))
    : startEmbeddedDatabase(start);
}
