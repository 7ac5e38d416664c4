import { Migrator } from '@mikro-orm/migrations';
import { MikroORM, type EntityManager } from '@mikro-orm/postgresql';
import type { Pool, QueryResultRow } from 'pg';
import { ImageSchema } from '../records/image.ts';
import { ImportOrderSchema } from '../records/import-order.ts';
import { BlobSchema, BlobSegmentSchema } from '../records/blob.ts';
import { FaultSchema } from '../records/fault.ts';
import { TaskEventSchema } from '../records/task-event.ts';
import { TaskSchema } from '../records/task.ts';
import { DatabaseConnectError } from './database-connect-error.ts';
import type { Statement, StatementObserver, StatementResult } from './statement.ts';
import { Migration0001ImagesAndTasks } from './migrations/migration-0001-images-and-tasks.ts';
import { Migration0002Imports } from './migrations/migration-0002-imports.ts';

/** Settings of the connection to PostgreSQL. */
export interface DatabaseOptions {
  /** `postgresql://user:password@host:port/database` */
  readonly url: string;
  /** Largest number of connections of this process, besides the one that listens. */
  readonly poolSize: number;
  /** Called with problems that no query will report, such as a broken idle connection. */
  readonly onWarning: (message: string) => void;
  /** Told of every hot statement; nobody is, if not set. */
  readonly observe?: StatementObserver;
}

/**
 * The database: entities through MikroORM, and the pool beneath it for statements that are hot, since
 * MikroORM inlines parameters and never prepares.
 */
export class Database {
  readonly #orm: MikroORM;
  /** The pool beneath MikroORM, for statements that are not hot. */
  readonly pool: Pool;
  readonly #observe: StatementObserver;

  private constructor(orm: MikroORM, pool: Pool, observe: StatementObserver) {
    this.#orm = orm;
    this.pool = pool;
    this.#observe = observe;
  }

  /** Connects. @throws DatabaseConnectError when PostgreSQL cannot be reached, or has no such database. */
  static async connect(options: DatabaseOptions): Promise<Database> {
    const orm = await MikroORM.init({
      clientUrl: options.url,
      entities: [
        ImageSchema,
        TaskSchema,
        FaultSchema,
        TaskEventSchema,
        BlobSchema,
        BlobSegmentSchema,
        ImportOrderSchema,
      ],
      extensions: [Migrator],
      // Else each slip in a DATABASE_URL would make one more database.
      ensureDatabase: false,
      pool: { min: 0, max: options.poolSize },
      driverOptions: { connectionTimeoutMillis: 10_000, application_name: 'darkroom' },
      migrations: {
        migrationsList: [
          { name: 'migration-0001-images-and-tasks', class: Migration0001ImagesAndTasks },
          { name: 'migration-0002-imports', class: Migration0002Imports },
        ],
        snapshot: false,
        silent: true,
      },
      logger: options.onWarning,
      colors: false,
    });
    try {
      const pool = await orm.em.getConnection().getNativeClient();
      await pool.query('select 1');
      return new Database(orm, pool, options.observe ?? unobserved);
    } catch (error) {
      await orm.close(true);
      throw new DatabaseConnectError(options.url, error);
    }
  }

  /** A unit of work of its own: one for each call, passed on explicitly. */
  fork(): EntityManager {
    return this.#orm.em.fork();
  }

  /**
   * Runs a hot statement: the one road of all of them.
   *
   * @throws the driver's errors.
   */
  async run<Row extends object>({
    name,
    text,
    values,
    timeoutMs,
  }: Statement): Promise<StatementResult<Row>> {
    const ended = this.#observe(name);
    try {
      const { rows, rowCount } = await this.pool.query<Row & QueryResultRow>({
        name,
        text,
        ...(values && { values: [...values] }),
        ...(timeoutMs !== undefined && { query_timeout: timeoutMs }),
      });
      ended();
      return { rows, rowCount: rowCount ?? 0 };
    } catch (error) {
      ended(error);
      throw error;
    }
  }

  /**
   * Brings the schema up to date. Several processes may call it at once: MikroORM's migrator takes no
   * lock of its own, so an advisory lock is held by the transaction in which the migrations run.
   *
   * @returns the names of the migrations that were run; usually none.
   */
  async migrate(): Promise<readonly string[]> {
    return this.#orm.em.fork().transactional(async (em) => {
      await em.execute('select pg_advisory_xact_lock(?)', [migrationLock]);
      const applied = await this.#orm.migrator.up({ transaction: em.getTransactionContext() });
      return applied.map(({ name }) => name);
    });
  }

  /** Answers whether a trivial query succeeds. */
  async isReachable(): Promise<boolean> {
    try {
      await this.pool.query('select 1');
      return true;
    } catch {
      return false;
    }
  }

  /** Closes the pool, once the queries under way have ended. */
  async close(): Promise<void> {
    await this.#orm.close(true);
  }
}

const unobserved: StatementObserver = () => () => {};

/** "dark" in ASCII: any fixed number that no other user of the database takes. */
const migrationLock = 0x6461726b;
