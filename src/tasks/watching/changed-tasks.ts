import type { TaskId } from '../../records/ids.ts';
import type { TaskChangeSource } from './task-feed.ts';

/** Changed tasks that are remembered for a slow reader. With more, the list begins again. */
const maxChanged = 10_000;

/** The tasks that changed and were not looked at yet: of all projects, for only a read tells. */
export class ChangedTasks {
  readonly #ids = new Set<TaskId>();
  readonly #unsubscribe: () => void;
  readonly #calm: (() => void) | undefined;
  #hasOverflown = false;

  /**
   * @param wake called after each change; must not throw.
   * @param hasty whether progress is wanted more often than once a second.
   */
  constructor(feed: TaskChangeSource, wake: () => void, hasty: boolean) {
    this.#unsubscribe = feed.subscribeAll(({ taskId }) => {
      if (this.#ids.size >= maxChanged) {
        this.#ids.clear();
        this.#hasOverflown = true;
      }
      this.#ids.add(taskId);
      wake();
    });
    this.#calm = hasty ? feed.hasten() : undefined;
  }

  /** Takes out some of them, those that have waited longest. */
  take(count: number): TaskId[] {
    const ids = [...this.#ids.values().take(count)];
    for (const id of ids) {
      this.#ids.delete(id);
    }
    return ids;
  }

  /** Whether changes were dropped since the last call. */
  takeOverflow(): boolean {
    const hasOverflown = this.#hasOverflown;
    this.#hasOverflown = false;
    return hasOverflown;
  }

  /** No more changes are remembered. */
  close(): void {
    this.#unsubscribe();
    this.#calm?.();
  }
}
