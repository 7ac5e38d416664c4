import { setTimeout as delay } from 'node:timers/promises';
import { Migrator } from '@mikro-orm/migrations';
import { MikroORM, type EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { settledWithin } from '../domain/settled-within.ts';
import { ImageSchema } from '../records/image.ts';
import { ImageMemberSchema } from '../records/image-member.ts';
import { ImportOrderSchema } from '../records/import-order.ts';
import { BlobSchema, BlobSegmentSchema } from '../records/blob.ts';
import { FaultSchema } from '../records/fault.ts';
import { TaskEventSchema } from '../records/task-event.ts';
import { TaskSchema } from '../records/task.ts';
import { ConnectionGuard } from './connection-guard.ts';
import { isDatabaseAway } from './database-away.ts';
import { HotStatements } from './hot-statements.ts';
import { ReadsForProjects } from './reads-for-projects.ts';
import { DatabaseConnectError } from './database-connect-error.ts';
import type { Statement, StatementObserver, StatementResult } from './statement.ts';
import { MetadefEntrySchema } from '../records/metadef-entry.ts';
import { MetadefNamespaceSchema } from '../records/metadef-namespace.ts';
import { Migration0001ImagesAndTasks } from './migrations/migration-0001-images-and-tasks.ts';
import { Migration0002Imports } from './migrations/migration-0002-imports.ts';
import { Migration0003Unpacking } from './migrations/migration-0003-unpacking.ts';
import { Migration0004Quotas } from './migrations/migration-0004-quotas.ts';
import { Migration0005Tenants } from './migrations/migration-0005-tenants.ts';
import { Migration0006RowLevelSecurity } from './migrations/migration-0006-row-level-security.ts';
import { Migration0007SealedOrders } from './migrations/migration-0007-sealed-orders.ts';
import { Migration0008RequestQuota } from './migrations/migration-0008-request-quota.ts';
import { Migration0009ImageApi } from './migrations/migration-0009-image-api.ts';
import { Migration0012Bodies } from './migrations/migration-0012-bodies.ts';
import { Migration0015WallForReads } from './migrations/migration-0015-wall-for-reads.ts';
import { Migration0016WallForChanges } from './migrations/migration-0016-wall-for-changes.ts';
import { Migration0017RoleOfItsMaker } from './migrations/migration-0017-role-of-its-maker.ts';
import { Migration0020QuotaLockOrder } from './migrations/migration-0020-quota-lock-order.ts';
import { Migration0022WallForBytes } from './migrations/migration-0022-wall-for-bytes.ts';
import { Migration0023WatchPlaces } from './migrations/migration-0023-watch-places.ts';
import { Migration0024ListKeys } from './migrations/migration-0024-list-keys.ts';
import { Migration0025Metadefs } from './migrations/migration-0025-metadefs.ts';

/** Settings of the connection to PostgreSQL. */
export interface DatabaseOptions {
  /** `postgresql://user:password@host:port/database` */
  readonly url: string;
  /**
   * Largest number of connections of this process, besides the one that listens. A quarter of them, and at least one, is for
   * what is read for callers; at least two are for all else, so that with fewer than three it is one more.
   */
  readonly poolSize: number;
  /** Called with problems that no query will report, such as a broken idle connection. */
  readonly onWarning: (message: string) => void;
  /** Told of every hot statement; nobody is, if not set. */
  readonly observe?: StatementObserver;
  /** How long the server may be silent while somebody waits before it is asked why, in ms; 20 s if not set. */
  readonly silenceMs?: number;
  /** How long a transaction may do nothing before the server ends it, with its locks, in ms; 15 s if not set. */
  readonly idleTransactionMs?: number;
}

/**
 * A process that is frozen in the middle of a transaction holds its locks against all others. It has been taken for lost
 * by then, after 10 s, and in good health no transaction waits for anything but its own statements.
 */
const defaultIdleTransactionMs = 15_000;

/** How long queries under way may take to end when the pool is closed, in ms. */
const closeMs = 5000;
/** How often it is looked whether somebody still waits for a connection of a pool that is being closed, in ms. */
const waitingCheckMs = 20;
/** How long the server may be silent while the service stops, before it is asked why, in ms. */
const hurriedSilenceMs = 2000;

/**
 * The database: entities through MikroORM, and the pool beneath it for statements that are hot, since
 * MikroORM inlines parameters and never prepares.
 */
export class Database {
  readonly #url: string;
  readonly #orm: MikroORM;
  readonly #guard: ConnectionGuard;
  /** The pool beneath MikroORM, for statements that are not hot. */
  readonly pool: Pool;
  readonly #reads: ReadsForProjects;
  readonly #statements: HotStatements;
  #closed: Promise<void> | undefined;

  private constructor(
    options: DatabaseOptions,
    orm: MikroORM,
    guard: ConnectionGuard,
    pool: Pool,
    reads: ReadsForProjects,
  ) {
    this.#url = options.url;
    this.#statements = new HotStatements(options.observe);
    this.#orm = orm;
    this.#guard = guard;
    this.pool = pool;
    this.#reads = reads;
  }

  /** Makes all that is needed to use a database, and connects to nothing yet. */
  static async open(options: DatabaseOptions): Promise<Database> {
    const guard = new ConnectionGuard(options.url, options.silenceMs);
    const { poolSize } = options;
    const forReads = Math.max(1, Math.floor(poolSize / 4));
    const orm = await MikroORM.init({
      clientUrl: options.url,
      entities: [
        ImageSchema,
        ImageMemberSchema,
        TaskSchema,
        FaultSchema,
        TaskEventSchema,
        BlobSchema,
        BlobSegmentSchema,
        ImportOrderSchema,
        MetadefNamespaceSchema,
        MetadefEntrySchema,
      ],
      extensions: [Migrator],
      // Else each slip in a DATABASE_URL would make one more database.
      ensureDatabase: false,
      pool: { min: 0, max: Math.max(Math.min(2, poolSize), poolSize - forReads) },
      driverOptions: {
        // MikroORM leaves out what the URL says of TLS.
        connectionString: options.url,
        connectionTimeoutMillis: 10_000,
        application_name: 'darkroom',
        keepAlive: true,
        keepAliveInitialDelayMillis: 10_000,
        idle_in_transaction_session_timeout: options.idleTransactionMs ?? defaultIdleTransactionMs,
        Client: guard.clientClass(),
        onPoolCreated: (pool: Pool) => guard.watch(pool),
      },
      migrations: {
        migrationsList: [
          { name: 'migration-0001-images-and-tasks', class: Migration0001ImagesAndTasks },
          { name: 'migration-0002-imports', class: Migration0002Imports },
          { name: 'migration-0003-unpacking', class: Migration0003Unpacking },
          { name: 'migration-0004-quotas', class: Migration0004Quotas },
          { name: 'migration-0005-tenants', class: Migration0005Tenants },
          { name: 'migration-0017-role-of-its-maker', class: Migration0017RoleOfItsMaker },
          { name: 'migration-0006-row-level-security', class: Migration0006RowLevelSecurity },
          { name: 'migration-0007-sealed-orders', class: Migration0007SealedOrders },
          { name: 'migration-0008-request-quota', class: Migration0008RequestQuota },
          { name: 'migration-0009-image-api', class: Migration0009ImageApi },
          { name: 'migration-0012-bodies', class: Migration0012Bodies },
          { name: 'migration-0015-wall-for-reads', class: Migration0015WallForReads },
          { name: 'migration-0016-wall-for-changes', class: Migration0016WallForChanges },
          { name: 'migration-0020-quota-lock-order', class: Migration0020QuotaLockOrder },
          { name: 'migration-0022-wall-for-bytes', class: Migration0022WallForBytes },
          { name: 'migration-0023-watch-places', class: Migration0023WatchPlaces },
          { name: 'migration-0024-list-keys', class: Migration0024ListKeys },
          { name: 'migration-0025-metadefs', class: Migration0025Metadefs },
        ],
        snapshot: false,
        silent: true,
      },
      logger: options.onWarning,
      colors: false,
    });
    const pool = await orm.em.getConnection().getNativeClient();
    const reads = new ReadsForProjects(pool, forReads, options.onWarning);
    guard.watch(reads.pool);
    return new Database(options, orm, guard, pool, reads);
  }

  /** Opens and connects. @throws DatabaseConnectError as `ping`. */
  static async connect(options: DatabaseOptions): Promise<Database> {
    const database = await Database.open(options);
    try {
      await database.ping();
      return database;
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  /** Has the database answer. @throws DatabaseConnectError when it cannot be reached, or there is no such database. */
  async ping(): Promise<void> {
    try {
      await this.pool.query('select 1');
    } catch (error) {
      throw new DatabaseConnectError(this.#url, error);
    }
  }

  /** For an operator: an error that says that the database is away, with where it should be; any other as it is. */
  explain(error: unknown): unknown {
    return error instanceof DatabaseConnectError || !isDatabaseAway(error)
      ? error
      : new DatabaseConnectError(this.#url, error);
  }

  /** A unit of work of its own: one for each call, passed on explicitly. */
  fork(): EntityManager {
    return this.#orm.em.fork();
  }

  /**
   * Runs a hot statement: the one road of all of them.
   *
   * @throws the driver's errors; DarkroomError QUOTA_EXCEEDED; Error where another prepared statement has the same name.
   */
  run<Row extends object>(statement: Statement): Promise<StatementResult<Row>> {
    return this.#statements.runOn(this.pool, statement);
  }

  /**
   * Runs a statement that reads for callers, and says for which projects by `readsFor` or `askedRowsForProjects`: behind the
   * second wall, where there is one. It may read what has a policy of projects, and nothing else.
   *
   * @throws as `run`.
   */
  runForProjects<Row extends object>(statement: Statement): Promise<StatementResult<Row>> {
    return this.#statements.runOn(this.#reads.pool, statement);
  }

  /** Whether the database has the second wall, and lets this process stand behind it. @throws the driver's errors. */
  hasWall(): Promise<boolean> {
    return this.#reads.hasWall();
  }

  /**
   * Brings the schema up to date. Several processes may call it at once: MikroORM's migrator takes no
   * lock of its own, so an advisory lock is held by the transaction in which the migrations run. Breaking off
   * leaves the schema as it was.
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

  /** Says that the service stops: a server that does not answer is not waited for as long as otherwise. */
  hurry(): void {
    this.#guard.hurry(hurriedSilenceMs);
  }

  /**
   * Closes the pool, once the queries under way have ended, or have not within some seconds. Calling it again
   * gives the same promise.
   */
  close(): Promise<void> {
    return (this.#closed ??= this.#closeOrCut());
  }

  async #closeOrCut(): Promise<void> {
    const closing = this.#close().then(() => true);
    if (!(await settledWithin(closing, closeMs))) {
      this.#guard.cut();
    }
    await closing;
  }

  async #close(): Promise<void> {
    // A pool that is ended forgets those who wait for a connection.
    while (this.pool.waitingCount > 0 || this.#reads.pool.waitingCount > 0) {
      await delay(waitingCheckMs);
    }
    const reads = this.#reads.pool.end();
    await this.#orm.close(true);
    // Kysely leaves the pool alone where MikroORM itself has never used it.
    if (!this.pool.ending) {
      await this.pool.end();
    }
    await reads;
  }
}

/** "dark" in ASCII: any fixed number that no other user of the database takes. */
const migrationLock = 0x6461726b;
