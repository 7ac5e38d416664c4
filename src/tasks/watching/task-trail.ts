import type { TaskId } from '../../records/ids.ts';
import type { TaskChange, TaskChangeSource } from './task-feed.ts';
import type { EventRecord, TaskReader, TaskSnapshot } from '../reading/task-reader.ts';

/** Events that a trail keeps. Who is further behind reads them from the database. */
const maxEvents = 32;
/** How long to wait before a read that failed is tried again. */
const retryDelayMs = 1000;

/**
 * What this process knows of a task that is being watched: its newest state and its last events, read
 * once for all its watchers.
 */
export class TaskTrail {
  readonly #taskId: TaskId;
  readonly #reader: TaskReader;
  readonly #wakes = new Set<() => void>();
  #snapshot: TaskSnapshot | undefined;
  /** Without gaps, the last one of the snapshot's revision; or none. */
  #events: readonly EventRecord[] = [];
  #reading: Promise<void> | undefined;
  /** The read after the present one; it has not begun. */
  #nextReading: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(taskId: TaskId, reader: TaskReader) {
    this.#taskId = taskId;
    this.#reader = reader;
  }

  /** The task as it was read last; undefined if there is none, or before the first `refresh`. */
  get snapshot(): TaskSnapshot | undefined {
    return this.#snapshot;
  }

  /** How many follow it. */
  get followers(): number {
    return this.#wakes.size;
  }

  /** Calls `wake` after each read that found something new. */
  follow(wake: () => void): void {
    this.#wakes.add(wake);
  }

  /** Calls `wake` no more. */
  unfollow(wake: () => void): void {
    this.#wakes.delete(wake);
    if (this.#wakes.size === 0) {
      clearTimeout(this.#retry);
      this.#retry = undefined;
    }
  }

  /**
   * All events above a revision up to the snapshot's; undefined if they are not kept any more.
   */
  eventsAfter(revision: number): readonly EventRecord[] | undefined {
    const newest = this.#snapshot?.task.revision ?? 0;
    const missing = newest - revision;
    if (missing <= 0) {
      return [];
    }
    return missing <= this.#events.length ? this.#events.slice(-missing) : undefined;
  }

  /** Reads the task as it is after the call. @throws the driver's errors. */
  refresh(): Promise<void> {
    if (this.#reading === undefined) {
      return this.#beginReading();
    }
    this.#nextReading ??= this.#reading
      .catch(() => {})
      .then(() => {
        this.#nextReading = undefined;
        return this.#beginReading();
      });
    return this.#nextReading;
  }

  /** Reads the task unless the change is known already. */
  onChange(change: TaskChange): void {
    const known = this.#snapshot?.task;
    const isKnown =
      known !== undefined &&
      change.updateTime !== undefined &&
      change.updateTime <= known.updateTime &&
      (change.revision ?? 0) <= known.revision;
    if (!isKnown) {
      this.#refreshOrRetry();
    }
  }

  #refreshOrRetry(): void {
    this.refresh().catch(() => {
      // The watch goes on: the database comes back, or the callers lose their patience.
      if (this.#wakes.size > 0) {
        this.#retry ??= setTimeout(() => {
          this.#retry = undefined;
          this.#refreshOrRetry();
        }, retryDelayMs);
      }
    });
  }

  #beginReading(): Promise<void> {
    const reading = this.#read().finally(() => {
      this.#reading = undefined;
    });
    this.#reading = reading;
    return reading;
  }

  async #read(): Promise<void> {
    const before = this.#snapshot?.task;
    const snapshot = await this.#reader.snapshot(this.#taskId);
    const upTo = snapshot?.task.revision ?? 0;
    // Whoever came before the first read was told nothing yet and reads by itself what it missed.
    const after = before?.revision ?? upTo;
    const span = { taskId: this.#taskId, after: Math.max(after, upTo - maxEvents), upTo };
    const events = upTo > after ? await this.#reader.events(span) : [];
    this.#snapshot = snapshot;
    this.#events = lastWithoutGap([...this.#events, ...events], upTo);
    const now = snapshot?.task;
    const isNew =
      before?.revision !== now?.revision ||
      before?.updateTime.getTime() !== now?.updateTime.getTime();
    if (isNew) {
      for (const wake of this.#wakes) {
        wake();
      }
    }
  }
}

function lastWithoutGap(events: readonly EventRecord[], upTo: number): readonly EventRecord[] {
  let count = 0;
  while (count < maxEvents && events.at(-1 - count)?.event.revision === upTo - count) {
    count += 1;
  }
  return count === 0 ? [] : events.slice(-count);
}

/** The trails of all tasks that are watched in this process. */
export class TaskTrails {
  readonly reader: TaskReader;
  readonly #feed: TaskChangeSource;
  readonly #trails = new Map<TaskId, { trail: TaskTrail; unsubscribe: () => void }>();

  constructor(reader: TaskReader, feed: TaskChangeSource) {
    this.reader = reader;
    this.#feed = feed;
  }

  /** How many tasks are watched. */
  get size(): number {
    return this.#trails.size;
  }

  /**
   * Calls `wake` after each change of a task that was read. Call `refresh` of the trail first to have
   * something to begin with.
   *
   * @param hasty whether progress is wanted more often than once a second.
   * @returns the trail, and what ends it all.
   */
  follow(taskId: TaskId, wake: () => void, hasty: boolean): [TaskTrail, () => void] {
    const { trail, unsubscribe } = this.#trails.get(taskId) ?? this.#begin(taskId);
    trail.follow(wake);
    const calm = hasty ? this.#feed.hasten() : undefined;
    return [
      trail,
      () => {
        calm?.();
        trail.unfollow(wake);
        if (trail.followers === 0 && this.#trails.get(taskId)?.trail === trail) {
          unsubscribe();
          this.#trails.delete(taskId);
        }
      },
    ];
  }

  #begin(taskId: TaskId): { trail: TaskTrail; unsubscribe: () => void } {
    const trail = new TaskTrail(taskId, this.reader);
    const unsubscribe = this.#feed.subscribe(taskId, (change) => trail.onChange(change));
    const entry = { trail, unsubscribe };
    this.#trails.set(taskId, entry);
    return entry;
  }
}
