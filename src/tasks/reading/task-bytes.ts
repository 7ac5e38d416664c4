import type { Task } from '../../records/task.ts';

/** How far a task is, in bytes of its image. */
export interface TaskBytes {
  /** Bytes that are stored, or what the producer reported while there are none. */
  readonly done: number;
  /** Undefined while nobody knows. */
  readonly total: number | undefined;
}

/** How many bytes of a task are done, and of how many. */
export function bytesOf(task: Readonly<Task>): TaskBytes {
  const isDone = task.state === 'SUCCEEDED';
  return {
    done: isDone || task.committedSize > 0 ? task.committedSize : (task.reportedBytesDone ?? 0),
    total:
      task.expectedSize ??
      task.finishSize ??
      (isDone ? task.committedSize : task.reportedBytesTotal) ??
      undefined,
  };
}
