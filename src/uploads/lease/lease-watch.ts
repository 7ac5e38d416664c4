import type { Database } from '../../database/database.ts';
import type { DarkroomError } from '../../domain/darkroom-error.ts';
import type { TaskId } from '../../records/ids.ts';
import type { ChangeFollower, NoticedChange, TaskChanges } from './task-changes.ts';
import { examineLease, type WriterLease } from './writer-lease.ts';

/**
 * So soon after it was attached, in ms, a lease is not examined, but at the end of this time: the writer is notified of
 * its own attaching too, and a small upload is over by then. It took two or three reads, each for itself.
 */
const firstLookMs = 100;

/**
 * Notices at once that a lease is lost, also while its stream is silent. Begins before there is a lease,
 * so that no change falls in between.
 */
export class LeaseWatch implements ChangeFollower {
  readonly #database: Database;
  readonly #taskChanges: TaskChanges;
  readonly #taskId: TaskId;
  #lease: WriterLease | undefined;
  #onLoss: (loss: DarkroomError) => void = () => {};
  /** The revision at which the lease was last seen to hold. */
  #seenRevision = 0;
  #changes = 0;
  #guardedAt = 0;
  #firstLook: NodeJS.Timeout | undefined;
  #isExamining = false;

  constructor(database: Database, changes: TaskChanges, taskId: TaskId) {
    this.#database = database;
    this.#taskChanges = changes;
    this.#taskId = taskId;
    changes.subscribe(taskId, this);
  }

  /** Watches a lease from now on. */
  guard(lease: WriterLease, onLoss: (loss: DarkroomError) => void): void {
    this.#lease = lease;
    this.#onLoss = onLoss;
    this.#guardedAt = performance.now();
    if (this.#changes > 0) {
      this.#examineSoon();
    }
  }

  /** Ends the watch; nothing is told any more. */
  end(): void {
    this.#taskChanges.unsubscribe(this.#taskId, this);
    clearTimeout(this.#firstLook);
    this.#lease = undefined;
  }

  /** The task may have changed: looks, unless that is known. */
  onChange({ revision }: NoticedChange): void {
    if (revision === undefined || revision > this.#seenRevision) {
      this.#changes += 1;
      this.#examineSoon();
    }
  }

  #examineSoon(): void {
    const waitMs = this.#guardedAt + firstLookMs - performance.now();
    if (this.#lease === undefined || waitMs <= 0) {
      void this.#examine();
    } else {
      this.#firstLook ??= setTimeout(() => void this.#examine(), waitMs);
    }
  }

  /** Never rejects. Changes that come while the lease is examined make it be examined once more. */
  async #examine(): Promise<void> {
    if (this.#isExamining) {
      return;
    }
    this.#isExamining = true;
    try {
      for (let seen = -1; this.#lease && seen !== this.#changes;) {
        seen = this.#changes;
        await this.#examineOnce(this.#lease);
      }
    } catch {
      // The database is away. The next change or commit asks again.
    } finally {
      this.#isExamining = false;
    }
  }

  async #examineOnce(lease: WriterLease): Promise<void> {
    const { loss, revision } = await examineLease(this.#database, lease);
    if (!loss) {
      this.#seenRevision = revision;
    } else if (this.#lease) {
      this.#onLoss(loss);
    }
  }
}
