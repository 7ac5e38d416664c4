import type { TaskId } from '../../records/ids.ts';

/** What is known of a change of a task. */
export interface NoticedChange {
  /** The task's revision, where it is known. Progress takes none: it may be the same as before. */
  readonly revision: number | undefined;
}

/** Who is told of changes. */
export interface ChangeFollower {
  /** Must not throw. */
  onChange(change: NoticedChange): void;
}

/** Tells of changes of single tasks. */
export interface TaskChanges {
  /** Tells a follower whenever the task may have changed. */
  subscribe(taskId: TaskId, follower: ChangeFollower): void;
  /** The follower is told nothing more of the task. */
  unsubscribe(taskId: TaskId, follower: ChangeFollower): void;
}
