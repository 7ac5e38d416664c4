import { askedKey } from '../../database/asked-rows.ts';
import { Few } from '../../domain/few.ts';
import type { TaskId } from '../../records/ids.ts';
import type { EventRecord, TaskReader, TaskSnapshot } from '../reading/task-reader.ts';
import { encodeResumeToken } from './resume-token.ts';
import type { TaskChange, TaskChangeSource, TaskFollower } from './task-feed.ts';
import { wakeInTurns, type Wakeable } from './wakes.ts';
import type { WatchPlaces } from './watch-places.ts';

/** Events that a trail keeps. Who is further behind reads them from the database. */
const maxEvents = 32;
/** How long to wait before a read that failed is tried again. */
const retryDelayMs = 1000;

/**
 * What this process knows of a task that is being watched: its newest state and its last events, read
 * once for all its watchers.
 */
export class TaskTrail implements TaskFollower {
  readonly taskId: TaskId;
  /** Of whom the task must be: for everybody else there is none. */
  readonly projectId: string;
  readonly #reader: TaskReader;
  readonly #followers = new Few<Wakeable>();
  #snapshot: TaskSnapshot | undefined;
  /** Without gaps, the last one of the snapshot's revision; or none. */
  #events: readonly EventRecord[] = [];
  #reading: Promise<void> | undefined;
  /** The read after the present one; it has not begun. */
  #nextReading: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #token = '';
  #tokenRevision = Number.NaN;

  constructor(taskId: TaskId, projectId: string, reader: TaskReader) {
    this.taskId = taskId;
    this.projectId = projectId;
    this.#reader = reader;
  }

  /** The task as it was read last; undefined if there is none, or before the first `refresh`. */
  get snapshot(): TaskSnapshot | undefined {
    return this.#snapshot;
  }

  /** Whether anybody follows it. */
  get isFollowed(): boolean {
    return this.#followers.size > 0;
  }

  /** Wakes somebody after each read that found something new. */
  follow(follower: Wakeable): void {
    this.#followers.add(follower);
  }

  /** Wakes somebody no more. */
  unfollow(follower: Wakeable): void {
    this.#followers.delete(follower);
    if (this.#followers.size === 0) {
      clearTimeout(this.#retry);
      this.#retry = undefined;
    }
  }

  /** The first event above a revision that is below the snapshot's; undefined if it is not kept any more. */
  eventAfter(revision: number): EventRecord | undefined {
    return this.#events.at(revision - (this.#snapshot?.task.revision ?? 0));
  }

  /** The token that goes on after a revision. Kept, for all followers are mostly at the same. */
  tokenAt(revision: number): string {
    if (this.#tokenRevision !== revision) {
      this.#token = encodeResumeToken(this.taskId, revision);
      this.#tokenRevision = revision;
    }
    return this.#token;
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
      if (this.#followers.size > 0) {
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
    const snapshot = await this.#reader.snapshot(this.taskId, this.projectId);
    const upTo = snapshot?.task.revision ?? 0;
    // Whoever came before the first read was told nothing yet and reads by itself what it missed.
    const after = before?.revision ?? upTo;
    const { taskId, projectId } = this;
    const span = { taskId, projectId, after: Math.max(after, upTo - maxEvents), upTo };
    const events = upTo > after ? await this.#reader.events(span) : [];
    this.#snapshot = snapshot;
    this.#events = lastWithoutGap([...this.#events, ...events], upTo);
    const now = snapshot?.task;
    const isNew =
      before?.revision !== now?.revision ||
      before?.updateTime.getTime() !== now?.updateTime.getTime();
    if (isNew) {
      wakeInTurns(this.#followers);
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
  readonly feed: TaskChangeSource;
  readonly places: WatchPlaces;
  readonly #trails = new Map<string, TaskTrail>();

  constructor(reader: TaskReader, feed: TaskChangeSource, places: WatchPlaces) {
    this.reader = reader;
    this.feed = feed;
    this.places = places;
  }

  /** How many tasks are watched. */
  get size(): number {
    return this.#trails.size;
  }

  /**
   * The trail of a project's task, which wakes `follower` after each change that was read. Call `refresh` of the trail first to have
   * something to begin with.
   */
  follow(taskId: TaskId, projectId: string, follower: Wakeable): TaskTrail {
    const key = askedKey(taskId, projectId);
    const trail = this.#trails.get(key) ?? this.#begin(key, taskId, projectId);
    trail.follow(follower);
    return trail;
  }

  /** Ends what `follow` began. */
  unfollow(trail: TaskTrail, follower: Wakeable): void {
    trail.unfollow(follower);
    const key = askedKey(trail.taskId, trail.projectId);
    if (!trail.isFollowed && this.#trails.get(key) === trail) {
      this.feed.unsubscribe(trail.taskId, trail);
      this.#trails.delete(key);
    }
  }

  #begin(key: string, taskId: TaskId, projectId: string): TaskTrail {
    const trail = new TaskTrail(taskId, projectId, this.reader);
    this.feed.subscribe(taskId, trail);
    this.#trails.set(key, trail);
    return trail;
  }
}
