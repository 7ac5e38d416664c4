import type { Caller } from '../../access/caller.ts';
import { visibleProject } from '../../access/rights.ts';
import { FieldChecks } from '../../domain/field-checks.ts';
import { parseId, type TaskId } from '../../records/ids.ts';
import { decodeResumeToken, invalidResumeToken } from './resume-token.ts';
import { isTerminal } from '../ledger/state-machine.ts';
import { taskNotFound } from '../../access/find-task.ts';
import { followDrain, unfollowDrain } from './drained-watches.ts';
import { forgetAlarm, wakeAt, type Alarm, type Sleeper } from './alarms.ts';
import { isSameProgress, type TaskProgress } from './task-progress.ts';
import type { EventRecord, TaskSnapshot } from '../reading/task-reader.ts';
import type { TaskTrail, TaskTrails } from './task-trail.ts';
import type { Task } from '../../records/task.ts';
import { watchIntervals, type WantedIntervals, type WatchIntervals } from './watch-intervals.ts';
import { messagesOf, throwIfDraining, untilOver, type Watch, type WatchSignals } from './watch.ts';
import type { Wakeable } from './wakes.ts';
import type { WatchPlace } from './watch-places.ts';

/** What WatchTask is asked, unchecked. */
export interface WatchTaskRequest extends WantedIntervals {
  readonly taskId: string;
  /** Empty to begin with a snapshot. */
  readonly resumeToken: string;
}

/** One message of a watch of one task. A later watch with its token goes on after it. */
export type WatchTaskMessage = { readonly resumeToken: string } & (
  | {
      readonly kind: 'snapshot';
      readonly snapshot: TaskSnapshot;
      /** Revisions after the resume token that were pruned and cannot be told. */
      readonly missedRevisions: number;
    }
  | {
      readonly kind: 'update';
      readonly record: EventRecord;
      /** The task at the event's revision or a later one. */
      readonly snapshot: TaskSnapshot;
    }
  | { readonly kind: 'progress'; readonly task: Readonly<Task> }
  | { readonly kind: 'heartbeat'; readonly time: Date }
);

/**
 * Follows a task to its end. The first message comes at once; then each event once and in the order of
 * the revisions, whatever breaks in between; progress and heartbeats now and then. Ends after the
 * terminal event.
 *
 * A task that ended before is told as a snapshot, or from the resume token on up to the terminal event;
 * a token of the terminal event itself gets what was told of the task since, which is the link to its
 * retry or nothing, and the end.
 *
 * @throws DarkroomError FIELD_INVALID, TOO_MANY_WATCHES, TASK_NOT_FOUND, RESUME_TOKEN_INVALID, SERVER_DRAINING; the
 *   signal's reason when the caller went or its deadline passed.
 */
export function watchTask(
  trails: TaskTrails,
  caller: Caller,
  request: WatchTaskRequest,
  signals: WatchSignals,
): AsyncGenerator<WatchTaskMessage, void, undefined> {
  return messagesOf(
    (reader) => TaskWatch.begin(trails, caller, request, signals, reader),
    signals.signal,
  );
}

/** The first events of a span, without those that were pruned. */
interface Past {
  readonly upTo: number;
  readonly records: readonly EventRecord[];
}

/** One watch: how far its reader was told. Small, for there may be ten thousand. */
export class TaskWatch implements Watch<WatchTaskMessage>, Sleeper {
  readonly #trails: TaskTrails;
  readonly #trail: TaskTrail;
  readonly #reader: Wakeable;
  readonly #intervals: WatchIntervals;
  readonly #drainSignal: AbortSignal;
  readonly #calm: (() => void) | undefined;
  /** The last revision that was told; undefined before the snapshot of a watch that begins with one. */
  #revision: number | undefined;
  /** As told last; undefined if none was. */
  #told: TaskProgress | undefined;
  /** What the reader was given, and has taken when it asks again. */
  #taking: 'progress' | 'other' | undefined;
  /** When the next progress, and the next heartbeat, may be told, by performance.now(). */
  #progressAt = Number.NEGATIVE_INFINITY;
  #heartbeatAt: number;
  /** Events that the trail did not keep, as they were read for this reader alone. */
  #past: Past | undefined;
  #isReadingPast = false;
  #failure: { readonly error: unknown } | undefined;
  #hasEnded = false;
  #place: WatchPlace | undefined;
  alarm: Alarm | undefined;

  private constructor(
    trails: TaskTrails,
    trail: TaskTrail,
    place: WatchPlace,
    reader: Wakeable,
    intervals: WatchIntervals,
    drainSignal: AbortSignal,
    revision: number | undefined,
  ) {
    this.#trails = trails;
    this.#trail = trail;
    this.#place = place;
    this.#reader = reader;
    this.#intervals = intervals;
    this.#drainSignal = drainSignal;
    followDrain(drainSignal, this);
    this.#calm = intervals.progressMs < 1000 ? trails.feed.hasten() : undefined;
    this.#revision = revision;
    this.#heartbeatAt = intervals.heartbeatAfter(performance.now());
    trail.follow(this);
  }

  /**
   * Begins a watch as `watchTask` does it, for a reader who takes its messages when he is woken.
   *
   * @throws as `watchTask`.
   */
  static async begin(
    trails: TaskTrails,
    caller: Caller,
    request: WatchTaskRequest,
    signals: WatchSignals,
    reader: Wakeable,
  ): Promise<TaskWatch> {
    const checks = new FieldChecks();
    const { taskId, intervals } = checks.settle({
      taskId: checks.attempt(() => parseId<TaskId>(request.taskId, 'task_id')),
      intervals: watchIntervals(checks, request),
    });
    const { resumeToken } = request;
    const revision = resumeToken === '' ? undefined : decodeResumeToken(resumeToken, taskId);

    const place = await trails.places.take(caller);
    const trail = trails.follow(taskId, visibleProject(caller), reader);
    try {
      await untilOver(trail.refresh(), signals);
      const task = trail.snapshot?.task;
      if (!task) {
        throw taskNotFound(taskId);
      }
      if (revision !== undefined && revision > task.revision) {
        throw invalidResumeToken(`is ahead of the task, which is at revision ${task.revision}`);
      }
      return new TaskWatch(trails, trail, place, reader, intervals, signals.drainSignal, revision);
    } catch (error) {
      place.leave();
      throw error;
    } finally {
      trails.unfollow(trail, reader);
    }
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  wake(): void {
    this.#reader.wake();
  }

  take(): WatchTaskMessage | undefined {
    this.#noteTaken();
    if (this.#failure !== undefined) {
      throw this.#failure.error;
    }
    throwIfDraining(this.#drainSignal);
    const snapshot = this.#newest();
    const { task } = snapshot;
    if (this.#revision === undefined) {
      return this.#snapshotMessage(snapshot, task.revision, 0);
    }
    if (this.#revision < task.revision) {
      return this.#event(this.#revision, snapshot);
    }
    if (isTerminal(task.state)) {
      this.#hasEnded = true;
      return undefined;
    }
    return this.#progressOrHeartbeat(this.#revision, task);
  }

  close(): void {
    this.#hasEnded = true;
    this.#place?.leave();
    this.#place = undefined;
    this.#calm?.();
    unfollowDrain(this.#drainSignal, this);
    this.#trails.unfollow(this.#trail, this);
    forgetAlarm(this);
  }

  /** Tells the next event, if it has been read. */
  #event(after: number, snapshot: TaskSnapshot): WatchTaskMessage | undefined {
    if (this.#isReadingPast) {
      return undefined;
    }
    const past = this.#past;
    const fromPast = past?.records.find(({ event }) => event.revision > after);
    if (fromPast === undefined) {
      this.#past = undefined;
    }
    const record = fromPast ?? this.#trail.eventAfter(after);
    if (record === undefined) {
      if (past?.records.length === 0) {
        return this.#gap(after, past.upTo, snapshot);
      }
      void this.#readPast(after, snapshot.task.revision);
      return undefined;
    }
    const { revision, state, kind } = record.event;
    if (revision > after + 1) {
      return this.#gap(after, revision - 1, snapshot);
    }
    this.#revision = revision;
    this.#told = snapshot.task;
    this.#taking = 'other';
    this.#hasEnded = isTerminal(state) && kind !== 'RETRIED';
    return { kind: 'update', record, snapshot, resumeToken: this.#trail.tokenAt(revision) };
  }

  async #readPast(after: number, upTo: number): Promise<void> {
    this.#isReadingPast = true;
    try {
      const { taskId, projectId } = this.#trail;
      const records = await this.#trails.reader.events({ taskId, projectId, after, upTo });
      this.#past = { upTo, records };
    } catch (error) {
      this.#failure = { error };
    }
    this.#isReadingPast = false;
    if (!this.#hasEnded) {
      this.wake();
    }
  }

  /** Events up to `revision` were pruned: the reader is told how many and how the task is now. */
  #gap(after: number, revision: number, snapshot: TaskSnapshot): WatchTaskMessage {
    return this.#snapshotMessage(snapshot, revision, revision - after);
  }

  #progressOrHeartbeat(revision: number, task: Readonly<Task>): WatchTaskMessage | undefined {
    const now = performance.now();
    const isNew = this.#told === undefined || !isSameProgress(this.#told, task);
    if (isNew && now >= this.#progressAt) {
      this.#told = task;
      this.#taking = 'progress';
      return { kind: 'progress', task, resumeToken: this.#trail.tokenAt(revision) };
    }
    if (now >= this.#heartbeatAt) {
      this.#taking = 'other';
      return { kind: 'heartbeat', time: new Date(), resumeToken: this.#trail.tokenAt(revision) };
    }
    wakeAt(this, isNew ? Math.min(this.#progressAt, this.#heartbeatAt) : this.#heartbeatAt);
    return undefined;
  }

  #snapshotMessage(
    snapshot: TaskSnapshot,
    revision: number,
    missedRevisions: number,
  ): WatchTaskMessage {
    this.#revision = revision;
    this.#told = snapshot.task;
    this.#taking = 'other';
    const resumeToken = this.#trail.tokenAt(revision);
    return { kind: 'snapshot', snapshot, missedRevisions, resumeToken };
  }

  /** @throws DarkroomError TASK_NOT_FOUND when the task was pruned under a reader that was too slow. */
  #newest(): TaskSnapshot {
    const { snapshot } = this.#trail;
    if (snapshot === undefined) {
      throw taskNotFound(this.#trail.taskId);
    }
    return snapshot;
  }

  #noteTaken(): void {
    if (this.#taking === undefined) {
      return;
    }
    const now = performance.now();
    this.#heartbeatAt = this.#intervals.heartbeatAfter(now);
    if (this.#taking === 'progress') {
      this.#progressAt = now + this.#intervals.progressMs;
    }
    this.#taking = undefined;
  }
}
