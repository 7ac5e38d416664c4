import { LockMode } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../../database/database.ts';
import type { Caller } from '../../access/caller.ts';
import { visibleProject } from '../../access/rights.ts';
import type { TaskId } from '../../records/ids.ts';
import type { Image } from '../../records/image.ts';
import type { LedgerEntry } from './ledger-entry.ts';
import type { LedgerFacts } from './ledger-facts.ts';
import { withQuotaErrors } from '../../database/quota-exceeded.ts';
import { LockedEntry } from './locked-entry.ts';
import { lockTask, type Locking } from './lock-task.ts';
import { expiredError } from './task-errors.ts';
import { taskNotFound } from '../../access/find-task.ts';
import { UnlockedChanges } from './unlocked-changes.ts';
import { Task } from '../../records/task.ts';

/**
 * The ledger is the only place where a task changes its state. Each change locks the image and then
 * the task, in this order everywhere, so that two changes never deadlock; it raises the revision and
 * writes the event in the same transaction, whose commit wakes the watchers.
 *
 * It has two roads, and who changes a task says which: `changeAtOnce` for what is hot and is decided by what one
 * read finds, `change` for all that reads or writes more in its transaction. What is decided, and what is written,
 * is the same `LedgerEntry`'s on both.
 */
export class TaskLedger {
  readonly #database: Database;
  readonly #unlocked: UnlockedChanges;

  constructor(database: Database) {
    this.#database = database;
    this.#unlocked = new UnlockedChanges(database);
  }

  /**
   * As `change`, by two statements that are shared with others, and without a transaction: one reads, one writes if
   * nothing has changed in between. Where something has, or somebody holds a lock, `work` is done again by `change`.
   *
   * @param work decides by what was read, and changes nothing but the entry: it may be called twice.
   * @throws as `change`.
   */
  async changeAtOnce<T, Facts>(
    taskId: TaskId,
    caller: Caller | undefined,
    facts: LedgerFacts<Facts>,
    work: (entry: LedgerEntry, facts: Facts) => T,
  ): Promise<T> {
    const projectId = caller && visibleProject(caller);
    const read = await this.#unlocked.read(taskId, projectId, facts);
    if (!read) {
      throw taskNotFound(taskId);
    }
    const { entry } = read;
    const outcome = entry.expireIfDue() ? undefined : { value: work(entry, read.facts) };
    if (!entry.isChanged || (await this.#unlocked.write(entry))) {
      if (outcome === undefined) {
        throw expiredError(entry.task);
      }
      return outcome.value;
    }
    return this.change(taskId, caller, async (locked) =>
      work(locked, await locked.readFacts(facts)),
    );
  }

  /**
   * Runs `work` in a transaction that holds the locks of a task and its image, and commits what it
   * changed. A live task whose time has passed is failed instead, whoever comes first: the sweeper or
   * the next caller.
   *
   * @param caller whose project the task must belong to; undefined for the service itself.
   * @throws DarkroomError TASK_NOT_FOUND; TASK_EXPIRED when its time has just passed; what `work` throws.
   */
  async change<T>(
    taskId: TaskId,
    caller: Caller | undefined,
    work: (entry: LockedEntry) => Promise<T> | T,
  ): Promise<T> {
    const outcome = await this.#transact(taskId, caller, 'wait', work);
    if (outcome === undefined) {
      throw taskNotFound(taskId);
    }
    return outcome.value;
  }

  /**
   * As `change`, for the service itself, but waits for nobody: undefined if somebody else holds the locks.
   *
   * @throws DarkroomError as `change`.
   */
  async tryChange<T>(
    taskId: TaskId,
    work: (entry: LockedEntry) => Promise<T> | T,
  ): Promise<{ readonly value: T } | undefined> {
    return this.#transact(taskId, undefined, 'skip locked', work);
  }

  async #transact<T>(
    taskId: TaskId,
    caller: Caller | undefined,
    locking: Locking,
    work: (entry: LockedEntry) => Promise<T> | T,
  ): Promise<{ readonly value: T } | undefined> {
    const em = this.#database.fork();
    const outcome = await withQuotaErrors(
      em.transactional(async (tx) => {
        const locked = await lockTask(tx, taskId, caller && visibleProject(caller), locking);
        const entry = locked && new LockedEntry(tx, locked.image, locked.task, locked.now);
        if (entry?.expireIfDue()) {
          return { expired: entry.task };
        }
        if (!entry) {
          return undefined;
        }
        const value = await work(entry);
        await entry.rows.write();
        return { value };
      }),
    );
    if (outcome && 'expired' in outcome) {
      throw expiredError(outcome.expired);
    }
    return outcome;
  }
}

/** Locks the live task of an image that is locked already; undefined if it has none. */
export async function lockLiveTask(
  em: EntityManager,
  image: Image,
  now: Date,
): Promise<LockedEntry | undefined> {
  const task = await em.findOne(
    Task,
    { imageId: image.id, state: { $in: ['PENDING', 'RUNNING'] } },
    { lockMode: LockMode.PESSIMISTIC_WRITE },
  );
  return task ? new LockedEntry(em, image, task, now) : undefined;
}
