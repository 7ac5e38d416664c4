import type { TaskId } from '../../records/ids.ts';

/** What is known of a change of a task. */
export interface NoticedChange {
  /** The task's revision, where it is known. Progress takes none: it may be the same as before. */
  readonly revision: number | undefined;
}

/** Tells of changes of single tasks. */
export interface TaskChanges {
  /** Calls back whenever the task may have changed; answers how to stop that. */
  subscribe(taskId: TaskId, onChange: (change: NoticedChange) => void): () => void;
}
