import type { Database } from '../../database/database.ts';
import { Notifications } from '../../database/notifications.ts';
import { Few } from '../../domain/few.ts';
import type { TaskId } from '../../records/ids.ts';

/** That a task changed, and what is known of the change: nothing but that, when PostgreSQL notified of it. */
export interface TaskChange {
  readonly taskId: TaskId;
  /** The task's revision. Progress takes none: it may be the same as before. Undefined if not known. */
  readonly revision: number | undefined;
  /** When the task changed, by the database's clock. Undefined if not known. */
  readonly updateTime: Date | undefined;
}

/** What the feed is made of. */
export interface TaskFeedOptions {
  readonly database: Database;
  /** The database's URL, for the connection that listens. */
  readonly url: string;
  /** Called once for each outage. */
  readonly onWarning: (message: string) => void;
}

/** Who is told that a task changed. An object and not a function, which would take 0.3 KiB of each watcher. */
export interface TaskFollower {
  /** Called synchronously; must not throw. */
  onChange(change: TaskChange): void;
}

/** What tells that tasks changed, on this process or any other. */
export interface TaskChangeSource {
  /**
   * Tells a follower soon after each change of a task: at once for a new revision, within about 1 s
   * for progress, and within about 1 s for a revision whose notification was lost. It may come late,
   * several changes may be told as one, and it may come without a change: it says "look", not what
   * there is to see. Changes committed before `subscribe` may or may not be told, so read after subscribing.
   */
  subscribe(taskId: TaskId, follower: TaskFollower): void;
  /** The follower is told nothing more of the task. */
  unsubscribe(taskId: TaskId, follower: TaskFollower): void;
  /** As `subscribe`, for all tasks of all projects; what it returns ends that. */
  subscribeAll(onChange: (change: TaskChange) => void): () => void;
  /** Progress is told five times as soon from now until the function that is returned is called. */
  hasten(): () => void;
}

/** How often the database is asked what changed, and how often while somebody wants to know sooner. */
const pollIntervalMs = 1000;
const hastyPollIntervalMs = 200;
/**
 * A task's update_time is set before its transaction commits, so a change may come to light this much
 * later than its time says. What takes longer is told by its notification.
 */
const overlapMs = 10_000;
/** After notifications may have been lost, the poll looks back further. */
const overlapAfterBreakMs = 60_000;
/** Must not be exceeded by a poll, or a database that hangs would stop the feed for good. */
const pollTimeoutMs = 10_000;

// Nested loop over the index tasks_changed; one row with nulls where nothing changed.
const changedSince = `
  select clock.now, t.id, t.revision, t.update_time
    from (select now() as now) clock
    left join tasks t on t.update_time >= coalesce($1::timestamptz, clock.now) - $2 * interval '1 ms'`;

interface ChangedRow {
  readonly now: string;
  readonly id: TaskId | null;
  readonly revision: string;
  readonly update_time: string;
}

/**
 * Wakes whoever is interested in a task. New revisions come as notifications over the process's one
 * LISTEN connection. Beneath it a poll reads what changed lately: the net that catches notifications
 * that were lost, and the road of progress, which is never notified. While nobody subscribes, nothing
 * is polled.
 */
export class TaskFeed implements TaskChangeSource {
  readonly #database: Database;
  readonly #onWarning: (message: string) => void;
  readonly #notifications: Notifications;
  readonly #byTask = new Map<TaskId, Few<TaskFollower>>();
  readonly #all = new Set<(change: TaskChange) => void>();
  /** What the last poll found: revision and time of each task, so that nothing is told twice. */
  readonly #found = new Map<TaskId, string>();
  #polledAt: string | undefined;
  #mayHaveLost = false;
  #hasty = 0;
  #timer: NodeJS.Timeout | undefined;
  #polling: Promise<void> | undefined;
  #isFailing = false;
  #isClosed = false;

  constructor(options: TaskFeedOptions) {
    this.#database = options.database;
    this.#onWarning = options.onWarning;
    this.#notifications = new Notifications({
      url: options.url,
      channel: 'darkroom_task',
      onWarning: options.onWarning,
      listener: {
        onNotification: (payload) => this.#tell(changeOf(payload as TaskId)),
        onListening: () => this.#catchUp(),
      },
    });
  }

  /** Begins to listen; returns at once. */
  start(): void {
    this.#notifications.start();
  }

  /** Stops; nobody is told anything any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await Promise.all([this.#notifications.close(), this.#polling]);
  }

  /** How many subscriptions there are. */
  get size(): number {
    let size = this.#all.size;
    for (const followers of this.#byTask.values()) {
      size += followers.size;
    }
    return size;
  }

  subscribe(taskId: TaskId, follower: TaskFollower): void {
    let followers = this.#byTask.get(taskId);
    if (followers === undefined) {
      followers = new Few();
      this.#byTask.set(taskId, followers);
    }
    followers.add(follower);
    this.#schedulePoll();
  }

  unsubscribe(taskId: TaskId, follower: TaskFollower): void {
    const followers = this.#byTask.get(taskId);
    if (followers?.delete(follower) === true && followers.size === 0) {
      this.#byTask.delete(taskId);
    }
  }

  subscribeAll(onChange: (change: TaskChange) => void): () => void {
    const callback = (change: TaskChange): void => onChange(change);
    this.#all.add(callback);
    this.#schedulePoll();
    return () => {
      this.#all.delete(callback);
    };
  }

  hasten(): () => void {
    this.#hasty += 1;
    let isHeld = true;
    return () => {
      if (isHeld) {
        isHeld = false;
        this.#hasty -= 1;
      }
    };
  }

  #tell(change: TaskChange): void {
    for (const follower of this.#byTask.get(change.taskId) ?? []) {
      follower.onChange(change);
    }
    for (const callback of this.#all) {
      callback(change);
    }
  }

  #catchUp(): void {
    this.#mayHaveLost = true;
    // However long ago it was: those who watch one task look themselves.
    for (const [taskId, followers] of this.#byTask) {
      for (const follower of followers) {
        follower.onChange(changeOf(taskId));
      }
    }
  }

  #schedulePoll(): void {
    if (this.#timer !== undefined || this.#polling !== undefined || this.#isClosed) {
      return;
    }
    if (this.#all.size === 0 && this.#byTask.size === 0) {
      // Whoever subscribes next reads what there is by itself; the poll then begins anew.
      this.#polledAt = undefined;
      this.#found.clear();
      return;
    }
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#polling = this.#poll().finally(() => {
          this.#polling = undefined;
          this.#schedulePoll();
        });
      },
      this.#hasty > 0 ? hastyPollIntervalMs : pollIntervalMs,
    );
  }

  async #poll(): Promise<void> {
    const mayHaveLost = this.#mayHaveLost;
    this.#mayHaveLost = false;
    try {
      const { rows } = await this.#database.run<ChangedRow>({
        name: 'tasks changed since',
        text: changedSince,
        values: [this.#polledAt, mayHaveLost ? overlapAfterBreakMs : overlapMs],
        timeoutMs: pollTimeoutMs,
      });
      this.#isFailing = false;
      this.#polledAt = rows[0]?.now;
      this.#tellFound(rows);
    } catch (error) {
      this.#mayHaveLost ||= mayHaveLost;
      if (!this.#isFailing && !this.#isClosed) {
        this.#isFailing = true;
        this.#onWarning(`Cannot read which tasks changed: ${String(error)}`);
      }
    }
  }

  #tellFound(rows: readonly ChangedRow[]): void {
    const known = new Map(this.#found);
    this.#found.clear();
    for (const { id, revision, update_time } of rows) {
      if (id !== null) {
        const state = `${revision} ${update_time}`;
        this.#found.set(id, state);
        if (known.get(id) !== state && !this.#isClosed) {
          this.#tell({
            taskId: id,
            revision: Number(revision),
            updateTime: new Date(update_time),
          });
        }
      }
    }
  }
}

function changeOf(taskId: TaskId): TaskChange {
  return { taskId, revision: undefined, updateTime: undefined };
}
