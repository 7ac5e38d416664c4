import { mkdir, realpath } from 'node:fs/promises';
import type { Settings } from '../config/settings.ts';
import { DatabaseWait, type WaitLogger } from '../database/database-wait.ts';
import { lockDataFolder } from '../database/embedded-postgres.ts';
import type { PostgresLogger } from '../database/embedded-postgres/postmaster.ts';
import { startEmbeddedDatabase } from '../database/start-embedded-database.ts';
import { settledWithin } from '../domain/settled-within.ts';
import { OpenPort, urlOf } from '../runtime/port.ts';
import { Teardown } from '../runtime/teardown.ts';
import type { TlsSource } from '../tls/tls-material.ts';
import { ConnectionQueue } from './connection-queue.ts';
import { Member, type MemberEnd } from './member.ts';

/** How long a process may take to stop, beyond the drain timeout, before it is cut off, in ms. */
const stopMs = 20_000;

/** Thrown when a process of the group could not start. */
export class MemberStartError extends Error {
  override readonly name = 'MemberStartError';
  /** With which the whole is to end. */
  readonly exitCode: number;

  constructor({ how, failure }: MemberEnd) {
    super(failure?.message ?? `a process ended with ${how} before it was ready`);
    this.exitCode = failure?.exitCode ?? 1;
    if (failure?.stack !== undefined) {
      this.stack = failure.stack;
    }
  }
}

/** Processes that serve one port. */
export interface ProcessGroup {
  /** Where they listen: `http://<host>:<port>`, or `https://` */
  readonly url: string;
  /** Which PostgreSQL they use. */
  readonly database: 'embedded' | 'external';
  /** Stops them all, and the embedded PostgreSQL last. Calling it again gives the same promise. Never rejects. */
  stop(): Promise<void>;
}

/** What a group is started with. */
export interface ProcessGroupOptions {
  readonly settings: Settings;
  readonly processes: number;
  /** What they speak TLS with; undefined where they do not. */
  readonly tls: TlsSource | undefined;
  readonly logger: PostgresLogger & WaitLogger;
  /** Gives the start up. */
  readonly signal: AbortSignal;
}

/**
 * Starts processes that serve one port together, and runs the embedded PostgreSQL for them where they need one. One
 * that ends is started again; the others go on.
 *
 * This process has the port, and gives each connection to whose turn it is. Two other ways were left aside: the kernel's
 * (SO_REUSEPORT) goes by a hash of the addresses, so of the few long connections of HTTP/2 one process may get all; and
 * Node's cluster never closes a connection that was on its way to a process that died, nor keeps a port that any was
 * asked for when all have died.
 *
 * When this process is killed the others stop by themselves.
 *
 * @throws ListenError, DataFolderInUseError, DatabaseWaitError, EmbeddedPostgresError, MemberStartError; anything if
 *   the signal has fired.
 */
export async function startProcessGroup(options: ProcessGroupOptions): Promise<ProcessGroup> {
  const { settings, signal } = options;
  const teardown = new Teardown(options.logger);
  try {
    const url = await start(options, teardown);
    signal.throwIfAborted();
    let stopped: Promise<void> | undefined;
    return {
      url,
      database: settings.databaseUrl === undefined ? 'embedded' : 'external',
      stop: () => (stopped ??= teardown.run()),
    };
  } catch (error) {
    await teardown.run();
    throw error;
  }
}

async function start(
  { settings, processes, tls, logger, signal }: ProcessGroupOptions,
  teardown: Teardown,
): Promise<string> {
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  const onAbort = (): void => failed.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });

  const connections = new ConnectionQueue(settings.maxConnections);
  const source = new OpenPort(settings, { pauseOnConnect: true });
  const closePort = (): void => {
    // Its connections are the others' by now, and their end is not waited for here.
    void source.close();
    connections.close();
  };
  teardown.add('port', closePort);

  let database: Promise<string> | undefined;
  if (settings.databaseUrl === undefined) {
    await mkdir(settings.dataDir, { recursive: true });
    const dataDir = await realpath(settings.dataDir);
    const lock = await lockDataFolder(dataDir);
    teardown.add('data folder', () => lock.release());
    const patienceMs = settings.databaseWaitMs;
    const wait = new DatabaseWait({ patienceMs, logger, fields: {}, signal });
    let stopDatabase = (): Promise<void> => Promise.resolve();
    const starting = startEmbeddedDatabase({
      dataDir,
      wait,
      logger,
      onStop(_, stop) {
        stopDatabase = stop;
      },
    });
    starting.catch(failed.reject);
    // The processes start meanwhile, and must end before it.
    teardown.add('PostgreSQL', () =>
      starting.then(
        () => stopDatabase(),
        () => {},
      ),
    );
    database = starting;
  }
  signal.throwIfAborted();
  const address = await source.open((socket) => connections.add(socket));

  let isServing = false;
  const ready = Array.from({ length: processes }, () => Promise.withResolvers<void>());
  const members = ready.map(
    ({ resolve }) =>
      new Member({
        port: address,
        connections,
        database,
        tls,
        onReady(pid) {
          resolve();
          if (isServing) {
            logger.info({ pid }, 'a process serves in place of one that ended');
          }
        },
        onEnd(end, delayMs) {
          failed.reject(new MemberStartError(end));
          if (isServing) {
            const fields = { end: end.how, reason: end.failure?.message, delayMs };
            logger.error(fields, 'a process has ended; starting another after the delay');
          }
        },
      }),
  );
  process.once('exit', () => members.forEach((member) => member.kill()));
  teardown.add('processes', () => stopMembers(members, settings.drainTimeoutMs + stopMs, logger));
  teardown.add('port', closePort);

  await Promise.race([Promise.all(ready.map(({ promise }) => promise)), failed.promise]);
  signal.removeEventListener('abort', onAbort);
  isServing = true;
  return urlOf(address, tls ? 'https' : 'http');
}

async function stopMembers(
  members: readonly Member[],
  patienceMs: number,
  logger: PostgresLogger,
): Promise<void> {
  const stopped = Promise.all(members.map((member) => member.stop())).then(() => true);
  if (await settledWithin(stopped, patienceMs)) {
    return;
  }
  const pids = members.map(({ pid }) => pid).filter((pid) => pid !== undefined);
  logger.error({ pids }, `cut off: they had not stopped within ${patienceMs / 1000} s`);
  members.forEach((member) => member.kill());
  await stopped;
}
