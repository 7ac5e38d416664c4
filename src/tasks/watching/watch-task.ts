import type { Caller } from '../../access/caller.ts';
import { maySee } from '../../access/rights.ts';
import { FieldChecks } from '../../domain/field-checks.ts';
import { parseId, type TaskId } from '../../records/ids.ts';
import { decodeResumeToken, encodeResumeToken, invalidResumeToken } from './resume-token.ts';
import { isTerminal } from '../ledger/state-machine.ts';
import { taskNotFound } from '../../access/find-task.ts';
import { isSameProgress, progressOf, type TaskProgress } from './task-progress.ts';
import type { EventRecord, TaskSnapshot } from '../reading/task-reader.ts';
import type { TaskTrail, TaskTrails } from './task-trail.ts';
import type { Task } from '../../records/task.ts';
import { watchIntervals, type WantedIntervals, type WatchIntervals } from './watch-intervals.ts';
import { WatchWait, type WatchSignals } from './watch-wait.ts';

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
 * It is the reader who pulls: between two messages nothing is kept for a slow one but a revision.
 *
 * @throws DarkroomError FIELD_INVALID, TASK_NOT_FOUND, RESUME_TOKEN_INVALID, SERVER_DRAINING; the
 *   signal's reason when the caller went or its deadline passed.
 */
export async function* watchTask(
  trails: TaskTrails,
  caller: Caller,
  request: WatchTaskRequest,
  signals: WatchSignals,
): AsyncGenerator<WatchTaskMessage, void, undefined> {
  const checks = new FieldChecks();
  const { taskId, intervals } = checks.settle({
    taskId: checks.attempt(() => parseId<TaskId>(request.taskId, 'task_id')),
    intervals: watchIntervals(checks, request),
  });
  const { resumeToken } = request;
  const revision = resumeToken === '' ? undefined : decodeResumeToken(resumeToken, taskId);

  const wait = new WatchWait(signals);
  const [trail, unfollow] = trails.follow(taskId, wait.wake, intervals.progressMs < 1000);
  try {
    await wait.race(trail.refresh());
    const task = trail.snapshot?.task;
    if (!task || !maySee(caller, task)) {
      throw taskNotFound(taskId);
    }
    if (revision !== undefined && revision > task.revision) {
      throw invalidResumeToken(`is ahead of the task, which is at revision ${task.revision}`);
    }
    yield* new TaskWatch(taskId, trails, trail, wait, intervals).messages(revision);
  } finally {
    unfollow();
    wait.close();
  }
}

/** One watch: how far its reader was told. */
class TaskWatch {
  readonly #taskId: TaskId;
  readonly #trails: TaskTrails;
  readonly #trail: TaskTrail;
  readonly #wait: WatchWait;
  readonly #intervals: WatchIntervals;
  /** The last revision that was told. */
  #revision = 0;
  /** The progress that was told last; undefined if none was. */
  #told: TaskProgress | undefined;
  /** When the reader had taken the last progress, and the last message, by performance.now(). */
  #progressTakenAt = Number.NEGATIVE_INFINITY;
  #takenAt = performance.now();

  constructor(
    taskId: TaskId,
    trails: TaskTrails,
    trail: TaskTrail,
    wait: WatchWait,
    intervals: WatchIntervals,
  ) {
    this.#taskId = taskId;
    this.#trails = trails;
    this.#trail = trail;
    this.#wait = wait;
    this.#intervals = intervals;
  }

  async *messages(after: number | undefined): AsyncGenerator<WatchTaskMessage, void, undefined> {
    if (after === undefined) {
      const snapshot = this.#newest();
      this.#revision = snapshot.task.revision;
      yield this.#snapshotMessage(snapshot, 0);
      this.#noteTaken();
    } else {
      this.#revision = after;
    }
    for (;;) {
      this.#wait.throwIfOver();
      const { task } = this.#newest();
      if (this.#revision < task.revision) {
        if (yield* this.#events(task.revision)) {
          return;
        }
      } else if (isTerminal(task.state)) {
        return;
      } else {
        yield* this.#progressOrHeartbeat(task);
      }
    }
  }

  /** Tells the next events. Answers whether the terminal one was among them. */
  async *#events(upTo: number): AsyncGenerator<WatchTaskMessage, boolean, undefined> {
    const span = { taskId: this.#taskId, after: this.#revision, upTo };
    const records =
      this.#trail.eventsAfter(this.#revision) ??
      (await this.#wait.race(this.#trails.reader.events(span)));
    if (records.length === 0) {
      yield* this.#gap(upTo);
    }
    for (const record of records) {
      const { revision, state, kind } = record.event;
      this.#wait.throwIfOver();
      if (revision > this.#revision + 1) {
        yield* this.#gap(revision - 1);
      }
      this.#revision = revision;
      const snapshot = this.#newest();
      this.#told = progressOf(snapshot.task);
      yield { kind: 'update', record, snapshot, resumeToken: this.#token() };
      this.#noteTaken();
      if (isTerminal(state) && kind !== 'RETRIED') {
        return true;
      }
    }
    return false;
  }

  /** Events up to `revision` were pruned: the reader is told how many and how the task is now. */
  async *#gap(revision: number): AsyncGenerator<WatchTaskMessage, void, undefined> {
    const missedRevisions = revision - this.#revision;
    this.#revision = revision;
    yield this.#snapshotMessage(this.#newest(), missedRevisions);
    this.#noteTaken();
  }

  async *#progressOrHeartbeat(
    task: Readonly<Task>,
  ): AsyncGenerator<WatchTaskMessage, void, undefined> {
    const now = performance.now();
    const isNew = this.#told === undefined || !isSameProgress(this.#told, task);
    const progressDue = isNew
      ? this.#progressTakenAt + this.#intervals.progressMs
      : Number.POSITIVE_INFINITY;
    const heartbeatDue = this.#takenAt + this.#intervals.heartbeatMs;
    if (now >= progressDue) {
      this.#told = progressOf(task);
      yield { kind: 'progress', task, resumeToken: this.#token() };
      this.#noteTaken();
      this.#progressTakenAt = this.#takenAt;
    } else if (now >= heartbeatDue) {
      yield { kind: 'heartbeat', time: new Date(), resumeToken: this.#token() };
      this.#noteTaken();
    } else {
      await this.#wait.until(Math.min(progressDue, heartbeatDue));
    }
  }

  #snapshotMessage(snapshot: TaskSnapshot, missedRevisions: number): WatchTaskMessage {
    this.#told = progressOf(snapshot.task);
    return { kind: 'snapshot', snapshot, missedRevisions, resumeToken: this.#token() };
  }

  /** @throws DarkroomError TASK_NOT_FOUND when the task was pruned under a reader that was too slow. */
  #newest(): TaskSnapshot {
    const { snapshot } = this.#trail;
    if (snapshot === undefined) {
      throw taskNotFound(this.#taskId);
    }
    return snapshot;
  }

  #token(): string {
    return encodeResumeToken(this.#taskId, this.#revision);
  }

  #noteTaken(): void {
    this.#takenAt = performance.now();
  }
}
