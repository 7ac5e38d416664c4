import type { Database } from '../../database/database.ts';
import type { Caller } from '../../access/caller.ts';
import { maySee } from '../../access/rights.ts';
import { FieldChecks } from '../../domain/field-checks.ts';
import type { TaskId } from '../../records/ids.ts';
import { isTerminal } from '../ledger/state-machine.ts';
import type { TaskChangeSource } from './task-feed.ts';
import { checkTaskFilter, matchesTaskFilter } from '../reading/task-filter.ts';
import { isSameProgress, progressOf, type TaskProgress } from './task-progress.ts';
import { listTasks } from '../reading/task-queries.ts';
import type { TaskReader, TaskSnapshot } from '../reading/task-reader.ts';
import type { TaskFilter } from '../reading/list-requests.ts';
import type { Task } from '../../records/task.ts';
import { watchIntervals, type WantedIntervals, type WatchIntervals } from './watch-intervals.ts';
import { WatchWait, type WatchSignals } from './watch-wait.ts';

/** What WatchTasks is asked, unchecked. */
export interface WatchTasksRequest extends WantedIntervals {
  readonly filter: TaskFilter;
}

/** One message of a watch of many tasks. */
export type WatchTasksMessage =
  | { readonly kind: 'task'; readonly snapshot: TaskSnapshot }
  | { readonly kind: 'synced'; readonly time: Date }
  | { readonly kind: 'progress'; readonly task: Readonly<Task> }
  | { readonly kind: 'heartbeat'; readonly time: Date };

/** What a watch of many tasks reads from. */
export interface WatchTasksSources {
  readonly database: Database;
  readonly feed: TaskChangeSource;
  readonly reader: TaskReader;
}

/** Tasks of a page of the list, and of one read of changes. */
const batchSize = 100;
/** Changed tasks that are remembered for a slow reader. With more, the list begins again. */
const maxChanged = 10_000;
/** Ended tasks that are remembered, so that the poll does not tell again what a notification has told. */
const maxEnded = 10_000;

/**
 * Follows all tasks of the caller's project that match a filter: first those that there are, then a
 * synced marker, then every change, as the task is by then. A task that stops to match is told once
 * more. Changes that a reader is too slow for melt into the newest.
 *
 * Memory grows with the live tasks that match, and with nothing else. A change of a task that has ended,
 * which can only be its link to a retry, may be told twice.
 *
 * @throws DarkroomError FIELD_INVALID, SERVER_DRAINING; the signal's reason when the caller went or its
 *   deadline passed.
 */
export async function* watchTasks(
  sources: WatchTasksSources,
  caller: Caller,
  request: WatchTasksRequest,
  signals: WatchSignals,
): AsyncGenerator<WatchTasksMessage, void, undefined> {
  const checks = new FieldChecks();
  const { filter, intervals } = checks.settle({
    filter: checkTaskFilter(checks, request.filter),
    intervals: watchIntervals(checks, request),
  });
  const wait = new WatchWait(signals);
  const changes = new ChangedTasks(sources.feed, wait.wake, intervals.progressMs < 1000);
  try {
    yield* new TasksWatch(sources, caller, filter, changes, wait, intervals).messages();
  } finally {
    changes.close();
    wait.close();
  }
}

/** The tasks that changed and were not looked at yet: of all projects, for only a read tells. */
class ChangedTasks {
  readonly #ids = new Set<TaskId>();
  readonly #unsubscribe: () => void;
  readonly #calm: (() => void) | undefined;
  #hasOverflown = false;

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
  take(): TaskId[] {
    const ids = [...this.#ids.values().take(batchSize)];
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

  close(): void {
    this.#unsubscribe();
    this.#calm?.();
  }
}

type Told = TaskProgress & Pick<Task, 'revision' | 'message'>;

/** Little, for there may be many. */
function toldOf(task: Readonly<Task>): Told {
  const { revision, message } = task;
  return { revision, message, ...progressOf(task) };
}

/** One watch: what its reader was told. */
class TasksWatch {
  readonly #sources: WatchTasksSources;
  readonly #caller: Caller;
  readonly #filter: TaskFilter;
  readonly #changes: ChangedTasks;
  readonly #wait: WatchWait;
  readonly #intervals: WatchIntervals;
  /** The tasks that were told and may change, with what was told of them. */
  readonly #told = new Map<TaskId, Told>();
  /** The tasks that were told last as ended for good, with their revisions. */
  readonly #ended = new Map<TaskId, number>();
  /** Tasks of which nothing but the progress is new, as they are. */
  readonly #progressed = new Map<TaskId, TaskSnapshot>();
  #progressToldAt = Number.NEGATIVE_INFINITY;
  #takenAt = performance.now();

  constructor(
    sources: WatchTasksSources,
    caller: Caller,
    filter: TaskFilter,
    changes: ChangedTasks,
    wait: WatchWait,
    intervals: WatchIntervals,
  ) {
    this.#sources = sources;
    this.#caller = caller;
    this.#filter = filter;
    this.#changes = changes;
    this.#wait = wait;
    this.#intervals = intervals;
  }

  async *messages(): AsyncGenerator<WatchTasksMessage, void, undefined> {
    yield* this.#list();
    yield { kind: 'synced', time: new Date() };
    this.#noteTaken();
    for (;;) {
      this.#wait.throwIfOver();
      if (this.#changes.takeOverflow()) {
        yield* this.#list();
        yield* this.#lookAgain();
      }
      const ids = this.#changes.take();
      if (ids.length > 0) {
        yield* this.#changed(ids);
      } else {
        yield* this.#progressOrHeartbeat();
      }
    }
  }

  async *#list(): AsyncGenerator<WatchTasksMessage, void, undefined> {
    let pageToken = '';
    do {
      const page = await this.#wait.race(
        listTasks(this.#sources.database, this.#caller, {
          filter: this.#filter,
          // Neither changes while the task does: nothing is told twice or left out.
          order: 'CREATE_TIME_ASC',
          pageSize: batchSize,
          pageToken,
        }),
      );
      for (const snapshot of page.rows) {
        yield* this.#task(snapshot);
      }
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }

  /** What was told before and has stopped to match is in no list. */
  async *#lookAgain(): AsyncGenerator<WatchTasksMessage, void, undefined> {
    const ids = [...this.#told.keys()];
    for (let i = 0; i < ids.length; i += batchSize) {
      yield* this.#changed(ids.slice(i, i + batchSize));
    }
  }

  async *#changed(ids: readonly TaskId[]): AsyncGenerator<WatchTasksMessage, void, undefined> {
    const snapshots = await this.#wait.race(
      Promise.all(ids.map((id) => this.#sources.reader.snapshot(id))),
    );
    for (const snapshot of snapshots) {
      if (snapshot && maySee(this.#caller, snapshot.task)) {
        yield* this.#change(snapshot);
      }
    }
  }

  async *#change(snapshot: TaskSnapshot): AsyncGenerator<WatchTasksMessage, void, undefined> {
    const { task } = snapshot;
    const told = this.#told.get(task.id);
    if (!matchesTaskFilter(this.#filter, task)) {
      if (told) {
        yield* this.#task(snapshot);
        this.#told.delete(task.id);
      }
    } else if (told?.revision === task.revision) {
      this.#progressed.set(task.id, snapshot);
    } else if (this.#ended.get(task.id) !== task.revision) {
      yield* this.#task(snapshot);
    }
  }

  async *#task(snapshot: TaskSnapshot): AsyncGenerator<WatchTasksMessage, void, undefined> {
    const { task } = snapshot;
    this.#wait.throwIfOver();
    this.#progressed.delete(task.id);
    // What is terminal matches for good, unless by the time of its last change.
    if (isTerminal(task.state) && !this.#filter.updatedBefore) {
      this.#told.delete(task.id);
      this.#noteEnded(task);
    } else {
      this.#told.set(task.id, toldOf(task));
    }
    yield { kind: 'task', snapshot };
    this.#noteTaken();
  }

  /** Progress of all tasks is told at the same moments, which keeps their distance for each of them. */
  async *#progressOrHeartbeat(): AsyncGenerator<WatchTasksMessage, void, undefined> {
    const now = performance.now();
    const progressDue =
      this.#progressed.size > 0
        ? this.#progressToldAt + this.#intervals.progressMs
        : Number.POSITIVE_INFINITY;
    const heartbeatDue = this.#takenAt + this.#intervals.heartbeatMs;
    if (now >= progressDue) {
      for (const [id, snapshot] of this.#progressed) {
        this.#progressed.delete(id);
        yield* this.#progress(snapshot);
      }
      this.#progressToldAt = performance.now();
    } else if (now >= heartbeatDue) {
      yield { kind: 'heartbeat', time: new Date() };
      this.#noteTaken();
    } else {
      await this.#wait.until(Math.min(progressDue, heartbeatDue));
    }
  }

  async *#progress(snapshot: TaskSnapshot): AsyncGenerator<WatchTasksMessage, void, undefined> {
    const { task } = snapshot;
    const told = this.#told.get(task.id);
    if (!told) {
      return;
    }
    if (told.message !== task.message) {
      yield* this.#task(snapshot);
    } else if (!isSameProgress(told, task)) {
      this.#wait.throwIfOver();
      this.#told.set(task.id, toldOf(task));
      yield { kind: 'progress', task };
      this.#noteTaken();
    }
  }

  #noteEnded({ id, revision }: Readonly<Task>): void {
    this.#ended.delete(id);
    this.#ended.set(id, revision);
    if (this.#ended.size > maxEnded) {
      for (const oldest of this.#ended.keys().take(1)) {
        this.#ended.delete(oldest);
      }
    }
  }

  #noteTaken(): void {
    this.#takenAt = performance.now();
  }
}
