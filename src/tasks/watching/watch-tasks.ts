import type { Database } from '../../database/database.ts';
import type { Caller } from '../../access/caller.ts';
import { visibleProject } from '../../access/rights.ts';
import { FieldChecks } from '../../domain/field-checks.ts';
import type { TaskId } from '../../records/ids.ts';
import { isTerminal } from '../ledger/state-machine.ts';
import { followDrain, unfollowDrain } from './drained-watches.ts';
import { forgetAlarm, wakeAt, type Alarm, type Sleeper } from './alarms.ts';
import { ChangedTasks } from './changed-tasks.ts';
import type { TaskChangeSource } from './task-feed.ts';
import { checkTaskFilter, matchesTaskFilter } from '../reading/task-filter.ts';
import { isSameProgress, progressOf, type TaskProgress } from './task-progress.ts';
import { listTasks } from '../reading/task-queries.ts';
import type { TaskReader, TaskSnapshot } from '../reading/task-reader.ts';
import type { TaskFilter } from '../reading/list-requests.ts';
import type { Task } from '../../records/task.ts';
import { watchIntervals, type WantedIntervals, type WatchIntervals } from './watch-intervals.ts';
import { messagesOf, throwIfDraining, type Watch, type WatchSignals } from './watch.ts';
import type { Wakeable } from './wakes.ts';
import type { WatchPlace, WatchPlaces } from './watch-places.ts';

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
  readonly places: WatchPlaces;
}

/** Tasks of a page of the list, and of one read of changes. */
const batchSize = 100;
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
 * @throws DarkroomError FIELD_INVALID, TOO_MANY_WATCHES, SERVER_DRAINING; the signal's reason when the caller went or its
 *   deadline passed.
 */
export function watchTasks(
  sources: WatchTasksSources,
  caller: Caller,
  request: WatchTasksRequest,
  signals: WatchSignals,
): AsyncGenerator<WatchTasksMessage, void, undefined> {
  return messagesOf(
    (reader) => TasksWatch.begin(sources, caller, request, signals.drainSignal, reader),
    signals.signal,
  );
}

type Told = TaskProgress & Pick<Task, 'revision' | 'message'>;

/** Little, for there may be many. */
function toldOf(task: Readonly<Task>): Told {
  const { revision, message } = task;
  return { revision, message, ...progressOf(task) };
}

/** What is to be done with tasks that were read: all of a list are told, of others what is new. */
type Reading = 'list' | 'changes';

/** One watch: what its reader was told. */
export class TasksWatch implements Watch<WatchTasksMessage>, Sleeper {
  readonly #sources: WatchTasksSources;
  readonly #caller: Caller;
  readonly #filter: TaskFilter;
  readonly #intervals: WatchIntervals;
  readonly #reader: Wakeable;
  readonly #drainSignal: AbortSignal;
  readonly #changes: ChangedTasks;
  /** The tasks that were told and may change, with what was told of them. */
  readonly #told = new Map<TaskId, Told>();
  /** The tasks that were told last as ended for good, with their revisions. */
  readonly #ended = new Map<TaskId, number>();
  /** Tasks of which nothing but the progress is new, as they are. */
  readonly #progressed = new Map<TaskId, TaskSnapshot>();
  /** What was read and not looked at yet, and how to look at it. */
  #read: Iterator<TaskSnapshot> | undefined;
  #reading: Reading = 'list';
  #isReading = false;
  /** Where the list goes on; undefined when it is at its end. */
  #pageToken: string | undefined = '';
  #isSynced = false;
  /** After a list that began again: what was told before and has stopped to match is in no list. */
  #mustLookAgain = false;
  #toLookAgain: TaskId[] = [];
  #isTellingProgress = false;
  #progressToldAt = Number.NEGATIVE_INFINITY;
  #heartbeatAt: number;
  /** Whether the reader was given something, and has taken it when it asks again. */
  #isTaking = false;
  #failure: { readonly error: unknown } | undefined;
  #hasEnded = false;
  #place: WatchPlace | undefined;
  alarm: Alarm | undefined;

  private constructor(
    sources: WatchTasksSources,
    place: WatchPlace,
    caller: Caller,
    filter: TaskFilter,
    intervals: WatchIntervals,
    drainSignal: AbortSignal,
    reader: Wakeable,
  ) {
    this.#sources = sources;
    this.#place = place;
    this.#caller = caller;
    this.#filter = filter;
    this.#intervals = intervals;
    this.#reader = reader;
    this.#drainSignal = drainSignal;
    followDrain(drainSignal, this);
    this.#heartbeatAt = intervals.heartbeatAfter(performance.now());
    const isHasty = intervals.progressMs < 1000;
    this.#changes = new ChangedTasks(sources.feed, () => this.wake(), isHasty);
  }

  /**
   * Begins a watch as `watchTasks` does it, for a reader who takes its messages when he is woken.
   *
   * @throws DarkroomError FIELD_INVALID, TOO_MANY_WATCHES.
   */
  static async begin(
    sources: WatchTasksSources,
    caller: Caller,
    request: WatchTasksRequest,
    drainSignal: AbortSignal,
    reader: Wakeable,
  ): Promise<TasksWatch> {
    const checks = new FieldChecks();
    const { filter, intervals } = checks.settle({
      filter: checkTaskFilter(checks, request.filter),
      intervals: watchIntervals(checks, request),
    });
    const place = await sources.places.take(caller);
    return new TasksWatch(sources, place, caller, filter, intervals, drainSignal, reader);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  wake(): void {
    this.#reader.wake();
  }

  take(): WatchTasksMessage | undefined {
    if (this.#isTaking) {
      this.#isTaking = false;
      this.#heartbeatAt = this.#intervals.heartbeatAfter(performance.now());
    }
    if (this.#failure !== undefined) {
      throw this.#failure.error;
    }
    throwIfDraining(this.#drainSignal);
    const message = this.#next();
    this.#isTaking = message !== undefined;
    return message;
  }

  close(): void {
    this.#hasEnded = true;
    this.#place?.leave();
    this.#place = undefined;
    unfollowDrain(this.#drainSignal, this);
    this.#changes.close();
    forgetAlarm(this);
  }

  #next(): WatchTasksMessage | undefined {
    for (let read = this.#read?.next(); read?.done === false; read = this.#read?.next()) {
      const message = this.#reading === 'list' ? this.#task(read.value) : this.#change(read.value);
      if (message !== undefined) {
        return message;
      }
    }
    this.#read = undefined;
    if (this.#isReading || this.#readMore()) {
      return undefined;
    }
    if (!this.#isSynced) {
      this.#isSynced = true;
      return { kind: 'synced', time: new Date() };
    }
    return this.#progressOrHeartbeat();
  }

  /** Begins to read what is to be looked at next; answers whether there is any. */
  #readMore(): boolean {
    if (this.#pageToken !== undefined) {
      void this.#readInto('list', this.#readPage(this.#pageToken));
      return true;
    }
    if (this.#mustLookAgain) {
      this.#mustLookAgain = false;
      this.#toLookAgain = [...this.#told.keys()];
    }
    const toLookAgain = this.#toLookAgain.splice(0, batchSize);
    if (toLookAgain.length > 0) {
      void this.#readInto('changes', this.#readTasks(toLookAgain));
      return true;
    }
    if (!this.#isSynced || this.#isTellingProgress) {
      return false;
    }
    if (this.#changes.takeOverflow()) {
      this.#mustLookAgain = true;
      void this.#readInto('list', this.#readPage(''));
      return true;
    }
    const ids = this.#changes.take(batchSize);
    if (ids.length > 0) {
      void this.#readInto('changes', this.#readTasks(ids));
    }
    return ids.length > 0;
  }

  async #readInto(reading: Reading, snapshots: Promise<readonly TaskSnapshot[]>): Promise<void> {
    this.#isReading = true;
    try {
      this.#read = (await snapshots).values();
      this.#reading = reading;
    } catch (error) {
      this.#failure = { error };
    }
    this.#isReading = false;
    if (!this.#hasEnded) {
      this.wake();
    }
  }

  async #readPage(pageToken: string): Promise<readonly TaskSnapshot[]> {
    const page = await listTasks(this.#sources.database, this.#caller, {
      filter: this.#filter,
      // Neither changes while the task does: nothing is told twice or left out.
      order: 'CREATE_TIME_ASC',
      pageSize: batchSize,
      pageToken,
    });
    this.#pageToken = page.nextPageToken === '' ? undefined : page.nextPageToken;
    return page.rows;
  }

  async #readTasks(ids: readonly TaskId[]): Promise<readonly TaskSnapshot[]> {
    const { reader } = this.#sources;
    const own = visibleProject(this.#caller);
    const snapshots = await Promise.all(
      // All projects' changes are heard of, and whose they are is read once for all who hear of them.
      ids.map(async (id) =>
        (await reader.projectOf(id)) === own ? reader.snapshot(id, own) : undefined,
      ),
    );
    return snapshots.filter((snapshot) => snapshot !== undefined);
  }

  #change(snapshot: TaskSnapshot): WatchTasksMessage | undefined {
    const { task } = snapshot;
    const told = this.#told.get(task.id);
    if (!matchesTaskFilter(this.#filter, task)) {
      const message = told && this.#task(snapshot);
      this.#told.delete(task.id);
      return message;
    }
    if (told?.revision === task.revision) {
      this.#progressed.set(task.id, snapshot);
      return undefined;
    }
    return this.#ended.get(task.id) === task.revision ? undefined : this.#task(snapshot);
  }

  #task(snapshot: TaskSnapshot): WatchTasksMessage {
    const { task } = snapshot;
    this.#progressed.delete(task.id);
    // What is terminal matches for good, unless by the time of its last change.
    if (isTerminal(task.state) && !this.#filter.updatedBefore) {
      this.#told.delete(task.id);
      this.#noteEnded(task);
    } else {
      this.#told.set(task.id, toldOf(task));
    }
    return { kind: 'task', snapshot };
  }

  /** Progress of all tasks is told at the same moments, which keeps their distance for each of them. */
  #progressOrHeartbeat(): WatchTasksMessage | undefined {
    const now = performance.now();
    const progressDue =
      this.#progressed.size > 0
        ? this.#progressToldAt + this.#intervals.progressMs
        : Number.POSITIVE_INFINITY;
    if (this.#isTellingProgress || now >= progressDue) {
      this.#isTellingProgress = true;
      const message = this.#nextProgress();
      if (message !== undefined) {
        return message;
      }
      this.#isTellingProgress = false;
      this.#progressToldAt = now;
      // What changed while progress was told has waited for it.
      return this.#next();
    }
    if (now >= this.#heartbeatAt) {
      return { kind: 'heartbeat', time: new Date() };
    }
    wakeAt(this, Math.min(progressDue, this.#heartbeatAt));
    return undefined;
  }

  #nextProgress(): WatchTasksMessage | undefined {
    for (const [id, snapshot] of this.#progressed) {
      this.#progressed.delete(id);
      const message = this.#progress(snapshot);
      if (message !== undefined) {
        return message;
      }
    }
    return undefined;
  }

  #progress(snapshot: TaskSnapshot): WatchTasksMessage | undefined {
    const { task } = snapshot;
    const told = this.#told.get(task.id);
    if (!told) {
      return undefined;
    }
    if (told.message !== task.message) {
      return this.#task(snapshot);
    }
    if (isSameProgress(told, task)) {
      return undefined;
    }
    this.#told.set(task.id, toldOf(task));
    return { kind: 'progress', task };
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
}
