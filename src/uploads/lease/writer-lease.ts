import type { Database } from '../../database/database.ts';
import { rowsById } from '../../database/rows-by-id.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { BlobId, ProcessId, TaskId } from '../../records/ids.ts';
import type { DeclaredFormat } from '../../formats/inspect-image.ts';
import type { SegmentPlace } from '../../storage/blob-reader.ts';
import { isTerminal } from '../../tasks/ledger/state-machine.ts';
import type { LedgerEntry } from '../../tasks/ledger/ledger-entry.ts';
import { transitionError } from '../../tasks/ledger/task-errors.ts';
import { Task, type TaskType } from '../../records/task.ts';

/** The right to append to an upload: one stream's, in one process, for one writer epoch. */
export interface WriterLease {
  readonly taskId: TaskId;
  readonly taskType: TaskType;
  readonly epoch: number;
  readonly processId: ProcessId;
  readonly blobId: BlobId;
  /** The segment of this epoch, to which the writer appends. */
  readonly segment: SegmentPlace & { readonly storedBytes: number };
  /** The blob's segments before it, in order. */
  readonly earlier: readonly SegmentPlace[];
  readonly committedSize: number;
  readonly storedBytes: number;
  readonly expectedSize: number | null;
  readonly expectedSha256: string | null;
  readonly expectedSha512: string | null;
  /** What the bytes that come were said to be. */
  readonly declared: DeclaredFormat;
  /** Whether the image is what is inside of the bytes that come. */
  readonly decompress: boolean;
  readonly idleTimeoutMs: number;
  /** Bytes of the whole that a finish before stated, which could not be taken to its end; null without one. */
  readonly finishSize: number | null;
}

/** How far a writer has come. */
export interface UploadProgress {
  /** Bytes of the image. */
  readonly committedSize: number;
  readonly storedBytes: number;
  /** Bytes of the writer's own segment. */
  readonly segmentLength: number;
  readonly segmentStoredBytes: number;
}

/**
 * Records that bytes are durably stored, and moves the expire_time on. This is the fence: it changes
 * nothing unless the lease still holds, and answers whether it did. Repeating it does no harm.
 *
 * The hot statement: two rows by their primary keys, prepared, about 0.2 ms besides the commit. Sends no
 * NOTIFY, which would serialise the commits of all uploads; watchers see progress by the slow poll.
 */
export async function commitProgress(
  database: Database,
  lease: WriterLease,
  progress: UploadProgress,
): Promise<boolean> {
  const { rowCount } = await database.run({
    name: 'commit-progress',
    text: `
      with fenced as (
        update tasks
        set committed_size = $4, stored_bytes = $5, update_time = now(),
            expire_time = now() + idle_timeout_ms * interval '1 ms'
        where id = $1 and writer_epoch = $2 and writer_process_id = $3 and state = 'RUNNING'
        returning id
      ), grown as (
        update blob_segments
        set length = $7, stored_bytes = $8
        where id = $6 and exists (select from fenced)
      )
      select id from fenced`,
    values: [
      lease.taskId,
      lease.epoch,
      lease.processId,
      progress.committedSize,
      progress.storedBytes,
      lease.segment.id,
      progress.segmentLength,
      progress.segmentStoredBytes,
    ],
  });
  return rowCount === 1;
}

/**
 * Detaches the lease's stream, whose writes have all ended; the epoch can be continued. Does nothing where that was done
 * before, by a call whose answer was lost.
 *
 * @throws DarkroomError why the lease was lost, if it was: nobody else may have told its holder yet.
 */
export async function detachWriter(database: Database, lease: WriterLease): Promise<void> {
  const { rowCount } = await database.run({
    name: 'detach-writer',
    text: `
      update tasks
      set writer_process_id = null, writer_peer = null, writer_since = null, update_time = now()
      where id = $1 and writer_epoch = $2 and writer_process_id = $3`,
    values: [lease.taskId, lease.epoch, lease.processId],
  });
  if (rowCount === 0) {
    const task = await rowsById(database, Task).read(lease.taskId);
    const isDetached = task?.writerEpoch === lease.epoch && task.writerProcessId === null;
    const loss = isDetached && !isTerminal(task.state) ? undefined : lossOf(task, lease);
    if (loss) {
      throw loss;
    }
  }
}

/** How a lease stands. */
export interface LeaseStanding {
  /** Why it does not hold any more; undefined while it does. */
  readonly loss: DarkroomError | undefined;
  /**
   * The task's revision at which it was looked at: as long as that is not raised, nothing can have happened to the
   * lease. 0 if the task is gone.
   */
  readonly revision: number;
}

/** Looks how a lease stands, together with what else is read just then. @throws the driver's errors. */
export async function examineLease(database: Database, lease: WriterLease): Promise<LeaseStanding> {
  const task = await rowsById(database, Task).read(lease.taskId);
  return { loss: lossOf(task, lease), revision: task?.revision ?? 0 };
}

function lossOf(task: Readonly<Task> | undefined, lease: WriterLease): DarkroomError | undefined {
  if (!task || isTerminal(task.state)) {
    return task
      ? transitionError(task, 'PROGRESS')
      : new DarkroomError('TASK_NOT_FOUND', `Task ${lease.taskId} is gone.`);
  }
  return holds(task, lease) ? undefined : fencedError(task.id, lease.epoch, task.writerEpoch);
}

/** @throws DarkroomError WRITER_FENCED, TASK_TERMINAL unless the locked task still belongs to the lease. */
export function assertLease({ task }: LedgerEntry, lease: WriterLease): void {
  if (isTerminal(task.state)) {
    throw transitionError(task, 'PROGRESS');
  }
  if (!holds(task, lease)) {
    throw fencedError(task.id, lease.epoch, task.writerEpoch);
  }
}

function holds(task: Readonly<Task>, lease: WriterLease): boolean {
  return task.writerEpoch === lease.epoch && task.writerProcessId === lease.processId;
}

/** The error for a writer that another one has superseded. */
export function fencedError(taskId: TaskId, epoch: number, current: number): DarkroomError {
  return new DarkroomError(
    'WRITER_FENCED',
    `The upload of task ${taskId} was given to another writer: epoch ${epoch} is over, the current one is ` +
      `${current}. If this is the writer that should go on, call ResumeUpload.`,
    { metadata: { writer_epoch: String(current) } },
  );
}
