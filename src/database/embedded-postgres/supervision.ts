import { setTimeout as sleep } from 'node:timers/promises';
import { RestartDelay } from '../../domain/restart-delay.ts';
import { keepLogShort } from './log-file.ts';
import {
  type Postmaster,
  type PostmasterSpec,
  startPostmaster,
  stopPostmaster,
} from './postmaster.ts';

const LOG_CHECK_INTERVAL_MS = 10 * 60_000;

/** `restarting`: it died and is being started again. `stopped`: by `stop()`, for good. */
export type PostgresState = 'running' | 'restarting' | 'stopped';

/** Told to the owner when the server dies, each time a restart fails, and when it is back. */
export type PostgresStateChange =
  | { readonly state: 'restarting'; readonly reason: string }
  | { readonly state: 'running'; readonly pid: number };

/** A PostgreSQL server of this process's own. */
export interface EmbeddedPostgres {
  /** For the database `darkroom`, over a Unix socket; stays valid across restarts. Holds the password. */
  readonly connectionString: string;
  /** Process id of the server; of the last one while `restarting`. */
  readonly pid: number;
  /** The running server was started by an earlier run of the service, which was killed. */
  readonly adopted: boolean;
  readonly state: PostgresState;
  /** Calls `listener` on every change of state but `stopped`; the answer ends that. */
  onStateChange(listener: (change: PostgresStateChange) => void): () => void;
  /**
   * Shuts the server down, waits until none of its processes is left, and gives the data folder up.
   * Calling it again gives the same promise.
   */
  stop(): Promise<void>;
}

/** A running server and what its supervision needs. */
export interface Supervised {
  readonly connectionString: string;
  readonly postmaster: Postmaster;
  readonly spec: PostmasterSpec;
  readonly stopTimeoutMs: number;
  /** Called at the end of a stop: gives up what the server was run with. */
  readonly giveUp: () => Promise<void>;
}

/** Starts the server again when it dies, until it is stopped. */
export class SupervisedPostgres implements EmbeddedPostgres {
  readonly connectionString: string;
  readonly #supervised: Supervised;
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<(change: PostgresStateChange) => void>();
  readonly #supervision: Promise<void>;
  readonly #logCheck: NodeJS.Timeout;
  #postmaster: Postmaster;
  #state: PostgresState = 'running';
  #stopped: Promise<void> | undefined;

  constructor(supervised: Supervised) {
    this.connectionString = supervised.connectionString;
    this.#supervised = supervised;
    this.#postmaster = supervised.postmaster;
    this.#supervision = this.#supervise();
    this.#logCheck = setInterval(() => void this.#checkLog(), LOG_CHECK_INTERVAL_MS).unref();
    process.on('exit', this.#onProcessExit);
  }

  get pid(): number {
    return this.#postmaster.pid;
  }

  get adopted(): boolean {
    return this.#postmaster.adopted;
  }

  get state(): PostgresState {
    return this.#state;
  }

  onStateChange(listener: (change: PostgresStateChange) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    const { spec, stopTimeoutMs, giveUp } = this.#supervised;
    this.#stopping.abort();
    this.#state = 'stopped';
    clearInterval(this.#logCheck);
    try {
      await stopPostmaster(this.#postmaster, spec.cluster, stopTimeoutMs);
      await this.#supervision;
    } finally {
      process.off('exit', this.#onProcessExit);
      await giveUp();
    }
    spec.logger.info({ pid: this.pid }, 'embedded PostgreSQL is stopped');
  }

  async #supervise(): Promise<void> {
    const { spec, stopTimeoutMs } = this.#supervised;
    const { signal } = this.#stopping;
    const delay = new RestartDelay();
    for (;;) {
      const runningSince = performance.now();
      let reason = `it ended with ${await this.#postmaster.exited}`;
      let ranMs = performance.now() - runningSince;
      for (;;) {
        if (signal.aborted) return;
        const delayMs = delay.next(ranMs);
        ranMs = 0;
        spec.logger.error(
          { pid: this.pid, reason, delayMs },
          'embedded PostgreSQL is down; starting it again after the delay',
        );
        this.#change({ state: 'restarting', reason });
        try {
          await sleep(delayMs, undefined, { signal, ref: false });
          this.#postmaster = await startPostmaster(spec, signal);
          break;
        } catch (error) {
          reason = error instanceof Error ? error.message : String(error);
        }
      }
      if (signal.aborted) {
        await stopPostmaster(this.#postmaster, spec.cluster, stopTimeoutMs);
        return;
      }
      spec.logger.info({ pid: this.pid }, 'embedded PostgreSQL is running again');
      this.#change({ state: 'running', pid: this.pid });
    }
  }

  #change(change: PostgresStateChange): void {
    this.#state = change.state;
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        // One bad listener must not end the supervision.
        this.#supervised.spec.logger.error(
          { err: error },
          'a listener of the database state failed',
        );
      }
    }
  }

  async #checkLog(): Promise<void> {
    const { spec } = this.#supervised;
    await keepLogShort(spec.log).catch((error: unknown) => {
      spec.logger.warn({ err: error, log: spec.log }, 'cannot shorten the log of PostgreSQL');
    });
  }

  readonly #onProcessExit = (): void => {
    if (this.#postmaster.hasExited()) return;
    try {
      process.kill(this.pid, 'SIGINT');
    } catch {
      // It has just ended; there is nobody left to tell.
    }
  };
}
