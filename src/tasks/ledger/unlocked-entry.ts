import type { Image } from '../../records/image.ts';
import type { Task } from '../../records/task.ts';
import { LedgerEntry } from './ledger-entry.ts';
import { CollectedRows } from './ledger-rows.ts';

/** Which version of a row was read: another one after each change of it, PostgreSQL's `xmin`. */
export interface RowVersions {
  readonly task: string;
  readonly image: string;
}

/**
 * A task and its image that were read without a lock. Changes are written by one statement, and only if neither
 * has changed meanwhile.
 */
export class UnlockedEntry extends LedgerEntry {
  declare readonly rows: CollectedRows;
  readonly versions: RowVersions;
  readonly #read: { readonly task: Task; readonly image: Image };

  constructor(image: Image, task: Task, now: Date, versions: RowVersions) {
    super(new CollectedRows(), image, task, now);
    this.versions = versions;
    this.#read = { task: Object.assign({}, task), image: Object.assign({}, image) };
  }

  /** Whether there is anything to write. */
  get isChanged(): boolean {
    return this.changedOfTask.length > 0 || this.changedOfImage.length > 0;
  }

  /** The properties of the task that were changed. */
  get changedOfTask(): readonly (keyof Task)[] {
    return differences(this.#read.task, this.task);
  }

  /** The properties of the image that were changed. */
  get changedOfImage(): readonly (keyof Image)[] {
    return differences(this.#read.image, this.image);
  }
}

function differences<T extends object>(before: T, after: T): (keyof T)[] {
  return (Object.keys(after) as (keyof T)[]).filter((key) => before[key] !== after[key]);
}
