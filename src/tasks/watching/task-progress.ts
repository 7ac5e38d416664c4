import type { Task } from '../../records/task.ts';

/** What the progress of a task is told from. */
export type TaskProgress = Pick<
  Task,
  | 'committedSize'
  | 'storedBytes'
  | 'finishSize'
  | 'unpackedSize'
  | 'reportedBytesDone'
  | 'reportedBytesTotal'
>;

/** The progress of a task, without the rest of it. */
export function progressOf(task: Readonly<Task>): TaskProgress {
  const { committedSize, storedBytes, finishSize, unpackedSize } = task;
  const { reportedBytesDone, reportedBytesTotal } = task;
  return {
    committedSize,
    storedBytes,
    finishSize,
    unpackedSize,
    reportedBytesDone,
    reportedBytesTotal,
  };
}

/** Whether two readings of a task tell of the same progress. */
export function isSameProgress(a: TaskProgress, b: TaskProgress): boolean {
  return (
    a.committedSize === b.committedSize &&
    a.storedBytes === b.storedBytes &&
    a.finishSize === b.finishSize &&
    a.unpackedSize === b.unpackedSize &&
    a.reportedBytesDone === b.reportedBytesDone &&
    a.reportedBytesTotal === b.reportedBytesTotal
  );
}
