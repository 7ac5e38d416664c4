import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Account, launchOptions } from './account.ts';
import type { Binaries } from './binaries.ts';
import { EmbeddedPostgresError, hasCode } from './errors.ts';
import { logTail, sizeOf } from './log-file.ts';
import { isPostgresOf, postgresProcessesOf, readPostmasterPid } from './postmaster-pid.ts';
import { SOCKET_FILE } from './settings.ts';

// Short beside the 30 ms that a start takes.
const START_POLL_MS = 10;
// A server that is not our child tells nobody of its end.
const ADOPTED_POLL_MS = 100;
const IMMEDIATE_STOP_MS = 5_000;

/** What is logged goes here; pino fits. */
export interface PostgresLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** How to start one server. */
export interface PostmasterSpec {
  readonly binaries: Binaries;
  readonly account: Account | undefined;
  /** Absolute path of the data directory. */
  readonly cluster: string;
  readonly log: string;
  /** The arguments of `postgres`. */
  readonly args: readonly string[];
  readonly startTimeoutMs: number;
  readonly logger: PostgresLogger;
  /** Proves that the server answers, and gives its version. */
  readonly greet: () => Promise<string>;
}

/** A running server's first process. */
export interface Postmaster {
  readonly pid: number;
  /** It was running already, started by a service that is gone. */
  readonly adopted: boolean;
  /** Resolves, once it has ended, with how it ended. */
  readonly exited: Promise<string>;
  readonly hasExited: () => boolean;
}

/**
 * Starts a server and waits until it answers.
 *
 * @param signal gives up: the half-started server is stopped
 * @throws EmbeddedPostgresError START_FAILED, with the end of the server's log
 */
export async function startPostmaster(
  spec: PostmasterSpec,
  signal: AbortSignal,
): Promise<Postmaster> {
  await clearCluster(spec);
  const logOffset = await sizeOf(spec.log);
  const log = await open(spec.log, 'a', 0o600);
  let postmaster: Postmaster;
  try {
    const child = spawn(spec.binaries.postgres, spec.args, {
      ...launchOptions(spec.account, spec.cluster),
      stdio: ['ignore', log.fd, log.fd],
      // A session of its own: Ctrl-C in the terminal reaches the whole foreground group, and the
      // service needs its database while it drains.
      detached: true,
    });
    child.unref();
    // Before anything is awaited: a server that refuses its settings ends within milliseconds.
    postmaster = watchChild(child);
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('spawn', resolve);
    });
  } catch (error) {
    throw startFailure(error instanceof Error ? error.message : String(error), error);
  } finally {
    await log.close();
  }
  try {
    await waitUntilReady(postmaster, spec, signal);
    await spec.greet();
    return postmaster;
  } catch (error) {
    await stopPostmaster(postmaster, spec.cluster, IMMEDIATE_STOP_MS);
    if (signal.aborted) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    const tail = await logTail(spec.log, logOffset);
    throw startFailure(`${reason}. Its log, ${spec.log}, ends:\n${tail}`, error);
  }
}

async function clearCluster(spec: PostmasterSpec): Promise<void> {
  await stopLeftovers(spec.cluster);
  const file = await readPostmasterPid(spec.cluster);
  if (file !== undefined) {
    if (await isPostgresOf(file.pid, spec.cluster)) return;
    spec.logger.warn(
      { pid: file.pid },
      'PostgreSQL was not shut down; removing its stale pid file',
    );
  }
  // PostgreSQL clears both itself, unless the id is taken: by another process after a reboot, or by
  // the dead server where nothing reaps it, as in a container whose first process is the service. Its
  // second guard, the shared memory segment that it finds by the folder's inode, stays in place.
  await rm(path.join(spec.cluster, 'postmaster.pid'), { force: true });
  await rm(path.join(spec.cluster, `${SOCKET_FILE}.lock`), { force: true });
}

function startFailure(reason: string, cause: unknown): EmbeddedPostgresError {
  return new EmbeddedPostgresError('START_FAILED', `PostgreSQL did not start: ${reason}`, {
    cause,
  });
}

function watchChild(child: ChildProcess): Postmaster {
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  return {
    // Set on every child that was spawned.
    pid: child.pid ?? 0,
    adopted: false,
    exited,
    hasExited: () => child.exitCode !== null || child.signalCode !== null,
  };
}

async function waitUntilReady(
  postmaster: Postmaster,
  spec: PostmasterSpec,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + spec.startTimeoutMs;
  let noticeAt = performance.now() + 5_000;
  for (;;) {
    if (postmaster.hasExited()) throw new Error(`it ended with ${await postmaster.exited}`);
    const file = await readPostmasterPid(spec.cluster);
    if (file?.pid === postmaster.pid && file.status === 'ready') return;
    if (performance.now() > deadline) {
      throw new Error(`it was not ready after ${spec.startTimeoutMs} ms`);
    }
    if (performance.now() > noticeAt) {
      spec.logger.info(
        { pid: postmaster.pid, log: spec.log },
        'PostgreSQL is still starting; after a crash it first replays what was not yet in its files',
      );
      noticeAt = Infinity;
    }
    await sleep(START_POLL_MS, undefined, { signal });
  }
}

/**
 * Takes over the server that a killed service has left running on the cluster, if it answers and
 * runs with the settings and the version that it would be started with now. One that does not is
 * stopped. Undefined: there is none, or none any more.
 *
 * @param signal gives up: the server is stopped
 * @throws EmbeddedPostgresError START_FAILED while an operator works on it with `postgres --single`
 */
export async function adoptPostmaster(
  spec: PostmasterSpec,
  stopTimeoutMs: number,
  signal: AbortSignal,
): Promise<Postmaster | undefined> {
  const file = await readPostmasterPid(spec.cluster);
  if (file === undefined || !(await isPostgresOf(file.pid, spec.cluster))) return undefined;
  if (file.singleUser) {
    throw startFailure(
      `a single-user session (pid ${file.pid}) works on ${spec.cluster}`,
      undefined,
    );
  }
  const postmaster = watchStranger(file.pid, spec.cluster);
  const obstacle = await obstacleToAdoption(postmaster, spec, signal);
  if (obstacle === undefined) return postmaster;
  spec.logger.warn(
    { pid: file.pid, reason: obstacle },
    'stopping the PostgreSQL server that an earlier run has left behind',
  );
  await stopPostmaster(postmaster, spec.cluster, stopTimeoutMs);
  signal.throwIfAborted();
  return undefined;
}

async function obstacleToAdoption(
  postmaster: Postmaster,
  spec: PostmasterSpec,
  signal: AbortSignal,
): Promise<string | undefined> {
  const options = await readFile(path.join(spec.cluster, 'postmaster.opts'), 'utf8').catch(
    () => '',
  );
  // Written by PostgreSQL at its start: the program, then each argument in quotes.
  const wanted = [spec.binaries.postgres, ...spec.args.map((argument) => `"${argument}"`)].join(
    ' ',
  );
  if (options.trimEnd() !== wanted) return 'it runs with other settings';
  const deadline = performance.now() + spec.startTimeoutMs;
  while ((await readPostmasterPid(spec.cluster))?.status !== 'ready') {
    if (signal.aborted) return 'the start is given up';
    if (postmaster.hasExited()) return 'it has ended';
    if ((await readPostmasterPid(spec.cluster))?.status === 'stopping')
      return 'it is shutting down';
    if (performance.now() > deadline) return `it was not ready after ${spec.startTimeoutMs} ms`;
    await sleep(START_POLL_MS);
  }
  try {
    const version = await spec.greet();
    return version.split(' ')[0] === spec.binaries.version ? undefined : `it is version ${version}`;
  } catch (error) {
    return `it does not answer: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function watchStranger(pid: number, cluster: string): Postmaster {
  let ended = false;
  const exited = (async () => {
    while (await isPostgresOf(pid, cluster)) {
      await sleep(ADOPTED_POLL_MS, undefined, { ref: false });
    }
    ended = true;
    return 'an unknown status';
  })();
  return { pid, adopted: true, exited, hasExited: () => ended };
}

/**
 * Stops a server: first "fast" (sessions are ended, a checkpoint is written), after `fastMs`
 * "immediate" (the next start replays the log), at last SIGKILL. Resolves when none of its processes
 * is left.
 */
export async function stopPostmaster(
  postmaster: Postmaster,
  cluster: string,
  fastMs: number,
): Promise<void> {
  const steps = [
    ['SIGINT', fastMs],
    ['SIGQUIT', IMMEDIATE_STOP_MS],
    ['SIGKILL', IMMEDIATE_STOP_MS],
  ] as const;
  for (const [signal, boundMs] of steps) {
    if (postmaster.hasExited()) break;
    send(postmaster.pid, signal);
    await settlesWithin(postmaster.exited, boundMs);
  }
  await stopLeftovers(cluster);
}

async function settlesWithin(promise: Promise<unknown>, boundMs: number): Promise<void> {
  const bound = new AbortController();
  const timer = sleep(boundMs, undefined, { signal: bound.signal }).catch(() => {});
  await Promise.race([promise, timer]);
  bound.abort();
}

/**
 * Ends PostgreSQL processes without a postmaster, or with one that has not yet written its pid file.
 * A session in the middle of a long query notices only at its end that its postmaster was killed,
 * and no new server can start until then.
 */
export async function stopLeftovers(cluster: string): Promise<void> {
  const deadline = performance.now() + IMMEDIATE_STOP_MS;
  let signal: NodeJS.Signals = 'SIGQUIT';
  const signalled = new Set<number>();
  for (;;) {
    const pids = await postgresProcessesOf(cluster);
    if (pids.length === 0) return;
    if (signal === 'SIGQUIT' && performance.now() > deadline) {
      signal = 'SIGKILL';
      signalled.clear();
    } else if (performance.now() > deadline + IMMEDIATE_STOP_MS) {
      throw startFailure(`processes ${pids.join(', ')} on ${cluster} cannot be ended`, undefined);
    }
    for (const pid of pids) {
      if (!signalled.has(pid)) send(pid, signal);
      signalled.add(pid);
    }
    await sleep(START_POLL_MS);
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error;
  }
}
