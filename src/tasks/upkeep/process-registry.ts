import { hostname } from 'node:os';
import type { Logger } from 'pino';
import type { Database } from '../../database/database.ts';
import { newId, type ProcessId } from '../../records/ids.ts';
import { detachLostWriters, type LostProcess, type OrphanedFinishHandler } from './lost-writers.ts';
import { isProcessAlive, machineIdentity } from './machine-identity.ts';
import type { TaskLedger } from '../ledger/task-ledger.ts';

/** What the registry works with. Times are in ms. */
export interface ProcessRegistryOptions {
  readonly database: Database;
  readonly ledger: TaskLedger;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  readonly onOrphanedFinish: OrphanedFinishHandler;
  /** Called when this process was taken for lost and is known again: what referred to it is gone. */
  readonly onKnownAgain?: () => void;
  /** How often the process gives a sign of life and looks for those that do not; 2 s if not set. */
  readonly heartbeatIntervalMs?: number;
}

const defaultHeartbeatIntervalMs = 2000;
/** Five heartbeats: a process that was merely busy, or a database that was away for a moment, is no loss. */
const lifetimeMs = 10_000;

const beat = `
  insert into processes (id, host, machine, pid)
  values ($1, $2, $3, $4)
  on conflict (id) do update set heartbeat_time = now()
  returning xmax = 0 as is_new`;

// The second half: uploads of processes that have no row, since they were taken for lost and then went on.
const others = `
  select id, host, pid, machine <> '' and machine = $2 as is_here,
         heartbeat_time < now() - $3 * interval '1 ms' as is_silent
    from processes
   where id <> $1
   union all
  select distinct writer_process_id, '', 0, false, true
    from tasks
   where writer_process_id is not null
     and writer_process_id <> $1
     and not exists (select from processes where id = writer_process_id)`;

interface OtherProcess extends LostProcess {
  readonly pid: number;
  readonly is_here: boolean;
  readonly is_silent: boolean;
}

/**
 * Says that this process is alive, and finds those that are not: a process that gave no sign of life for
 * 10 s, or whose pid is gone from this machine. Their uploads are detached at once, with a fault that
 * says so, so that they can be resumed; a process that was wrongly taken for lost is fenced thereby.
 */
export class ProcessRegistry {
  /** This run of this process. */
  readonly id: ProcessId = newId<ProcessId>();
  readonly #options: ProcessRegistryOptions;
  #machine = '';
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #mayBeRegistered = false;
  #isStopping = false;
  #isFailing = false;

  constructor(options: ProcessRegistryOptions) {
    this.#options = options;
    idsOfThisProcess.add(this.id);
  }

  /**
   * Registers this process and detaches the uploads of lost ones: when it is back, no upload waits for
   * a process of this machine that is gone. May be called again if it failed.
   *
   * @throws the driver's errors.
   */
  async start(): Promise<void> {
    this.#machine = await machineIdentity();
    await this.#beat();
    await this.#findLost();
    this.#schedule();
  }

  /** Takes this process out. Its uploads must have ended. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#timer);
    await this.#running;
    idsOfThisProcess.delete(this.id);
    if (!this.#mayBeRegistered) {
      return;
    }
    await this.#options.database.pool
      .query('delete from processes where id = $1', [this.id])
      .catch((error: unknown) => {
        this.#options.logger.warn(
          { err: error },
          'could not take this process out of the registry',
        );
      });
  }

  #schedule(): void {
    if (!this.#isStopping) {
      this.#timer = setTimeout(() => {
        this.#running = this.#beatAndFindLost().finally(() => this.#schedule());
      }, this.#options.heartbeatIntervalMs ?? defaultHeartbeatIntervalMs);
    }
  }

  async #beatAndFindLost(): Promise<void> {
    const { logger, onKnownAgain } = this.#options;
    try {
      if (await this.#beat()) {
        logger.warn(
          { processId: this.id },
          'this process was taken for lost, since it gave no sign of life; its uploads were detached',
        );
        onKnownAgain?.();
      }
      await this.#findLost();
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) {
        logger.warn({ err: error }, 'could not give a sign of life');
      }
      this.#isFailing = true;
    }
  }

  /** Answers whether this process was not registered. */
  async #beat(): Promise<boolean> {
    // Even if the answer is lost.
    this.#mayBeRegistered = true;
    const { rows } = await this.#options.database.run<{ is_new: boolean }>({
      name: 'heartbeat',
      text: beat,
      values: [this.id, hostname(), this.#machine, process.pid],
    });
    return rows[0]?.is_new === true;
  }

  async #findLost(): Promise<void> {
    const { database, ledger, logger, onOrphanedFinish } = this.#options;
    const { rows } = await database.run<OtherProcess>({
      name: 'other processes',
      text: others,
      values: [this.id, this.#machine, lifetimeMs],
    });
    for (const other of rows) {
      if (!(await isLost(other))) {
        continue;
      }
      const detached = await detachLostWriters(database, ledger, other, onOrphanedFinish);
      await database.pool.query('delete from processes where id = $1', [other.id]);
      logger.warn(
        { processId: other.id, host: other.host, pid: other.pid, uploadsDetached: detached },
        'a process was lost',
      );
    }
  }
}

/** Several services may run in one process, as they do in tests. */
const idsOfThisProcess = new Set<ProcessId>();

async function isLost(other: OtherProcess): Promise<boolean> {
  if (other.is_silent) {
    return true;
  }
  // A pid that is ours now was another process's before.
  const isGone =
    other.pid === process.pid
      ? !idsOfThisProcess.has(other.id)
      : !(await isProcessAlive(other.pid));
  return other.is_here && isGone;
}
