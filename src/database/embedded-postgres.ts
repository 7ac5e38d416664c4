import { mkdir, realpath } from 'node:fs/promises';
import { lockDataFolder } from './data-folder-lock.ts';
import { accountFor, dataDirectoryArgument } from './embedded-postgres/account.ts';
import { findBinaries } from './embedded-postgres/binaries.ts';
import { clusterPaths, openCluster, ROLE } from './embedded-postgres/cluster.ts';
import { connectionStringFor, greet, socketFolder } from './embedded-postgres/connection.ts';
import { keepLogShort } from './embedded-postgres/log-file.ts';
import {
  adoptPostmaster,
  type PostgresLogger,
  type PostmasterSpec,
  startPostmaster,
} from './embedded-postgres/postmaster.ts';
import { type PostgresSettings, serverArguments } from './embedded-postgres/settings.ts';
import { type EmbeddedPostgres, SupervisedPostgres } from './embedded-postgres/supervision.ts';

export { DataFolderInUseError, lockDataFolder, type DataFolderLock } from './data-folder-lock.ts';
export {
  EmbeddedPostgresError,
  type EmbeddedPostgresErrorReason,
} from './embedded-postgres/errors.ts';
export type { PostgresLogger } from './embedded-postgres/postmaster.ts';
export type { PostgresSettings } from './embedded-postgres/settings.ts';
export type {
  EmbeddedPostgres,
  PostgresState,
  PostgresStateChange,
} from './embedded-postgres/supervision.ts';

/** How to run the embedded PostgreSQL. */
export interface EmbeddedPostgresOptions {
  /** The service's data folder; made when missing. All of PostgreSQL's files go to `postgres` in it. */
  readonly dataDir: string;
  readonly logger: PostgresLogger;
  /** False: faster, and a crash of the machine destroys the cluster. Only for tests. Default true. */
  readonly durable?: boolean;
  /** Settings beyond, or instead of, the service's own. */
  readonly extraSettings?: PostgresSettings;
  /** Bound on `initdb`, and on a start including the recovery after a crash. Default 120,000. */
  readonly startTimeoutMs?: number;
  /** Bound on a clean shutdown, after which the server is cut off (losing nothing). Default 10,000. */
  readonly stopTimeoutMs?: number;
  /** Gives up the start: what it has begun is stopped. */
  readonly signal?: AbortSignal;
}

/**
 * Runs a real PostgreSQL for this service: takes the data folder, makes the cluster at the first
 * start, adopts the server that a killed run has left, else starts one; restarts it when it dies.
 *
 * The server has a session of its own and does not keep this process alive. When this process exits
 * without `stop()` the server is asked to shut down; when it is killed the next start adopts it.
 *
 * @throws DataFolderInUseError when another service uses the data folder
 * @throws EmbeddedPostgresError when PostgreSQL cannot be run here; the message says what to do
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  await mkdir(options.dataDir, { recursive: true });
  const lock = await lockDataFolder(await realpath(options.dataDir));
  try {
    return await startInLockedFolder(options, () => lock.release());
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * As `startEmbeddedPostgres`, in a data folder that the caller has locked, with `lockDataFolder`: so a start that
 * failed can be repeated and the folder is kept meanwhile.
 *
 * @param onStopped called at the end of a stop
 * @throws EmbeddedPostgresError as `startEmbeddedPostgres`
 */
export async function startInLockedFolder(
  options: EmbeddedPostgresOptions,
  onStopped: () => void = () => {},
): Promise<EmbeddedPostgres> {
  const { signal = new AbortController().signal } = options;
  signal.throwIfAborted();
  const dataDir = await realpath(options.dataDir);
  const { logger, durable = true, startTimeoutMs = 120_000, stopTimeoutMs = 10_000 } = options;
  const paths = clusterPaths(dataDir);
  const account = await accountFor(paths.cluster, dataDir);
  const binaries = await findBinaries(account);
  const password = await openCluster(paths, binaries, account, {
    durable,
    timeoutMs: startTimeoutMs,
    signal,
  });
  await keepLogShort(paths.log);
  const socket = await socketFolder(paths.cluster);
  try {
    const spec: PostmasterSpec = {
      binaries,
      account,
      cluster: paths.cluster,
      log: paths.log,
      args: serverArguments(
        dataDirectoryArgument(paths.cluster, account),
        durable,
        options.extraSettings ?? {},
      ),
      startTimeoutMs,
      logger,
      greet: async () => await greet(socket.path, password),
    };
    const postmaster =
      (await adoptPostmaster(spec, stopTimeoutMs, signal)) ?? (await startPostmaster(spec, signal));
    logger.info(
      {
        pid: postmaster.pid,
        adopted: postmaster.adopted,
        version: binaries.version,
        cluster: paths.cluster,
        ...(account === undefined ? {} : { user: account.name }),
      },
      'embedded PostgreSQL is running',
    );
    return new SupervisedPostgres({
      connectionString: connectionStringFor(socket.path, password, ROLE),
      postmaster,
      spec,
      stopTimeoutMs,
      giveUp: async () => {
        await socket.dispose();
        onStopped();
      },
    });
  } catch (error) {
    await socket.dispose();
    throw error;
  }
}
