import type { Database } from '../../database/database.ts';
import type { DarkroomError } from '../../domain/darkroom-error.ts';
import type { TaskId } from '../../records/ids.ts';
import type { NoticedChange, TaskChanges } from './task-changes.ts';
import { examineLease, leaseLoss, type WriterLease } from './writer-lease.ts';

/**
 * Notices at once that a lease is lost, also while its stream is silent. Begins before there is a lease,
 * so that no change falls in between.
 */
export class LeaseWatch {
  readonly #database: Database;
  readonly #unsubscribe: () => void;
  #lease: WriterLease | undefined;
  #onLoss: (loss: DarkroomError) => void = () => {};
  /** The revision at which the lease was last seen to hold. */
  #seenRevision = 0;
  #changes = 0;
  #isExamining = false;

  constructor(database: Database, changes: TaskChanges, taskId: TaskId) {
    this.#database = database;
    this.#unsubscribe = changes.subscribe(taskId, (change) => this.#noticed(change));
  }

  /** Watches a lease from now on. */
  guard(lease: WriterLease, onLoss: (loss: DarkroomError) => void): void {
    this.#lease = lease;
    this.#onLoss = onLoss;
    if (this.#changes > 0) {
      void this.#examine();
    }
  }

  /** Ends the watch; nothing is told any more. */
  end(): void {
    this.#unsubscribe();
    this.#lease = undefined;
  }

  #noticed({ revision }: NoticedChange): void {
    if (revision === undefined || revision > this.#seenRevision) {
      this.#changes += 1;
      void this.#examine();
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
    const { holds, revision } = await examineLease(this.#database, lease);
    if (holds) {
      this.#seenRevision = revision;
      return;
    }
    const loss = await leaseLoss(this.#database, lease);
    if (loss && this.#lease) {
      this.#onLoss(loss);
    }
  }
}
