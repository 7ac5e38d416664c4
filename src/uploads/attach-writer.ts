import type { Caller } from '../domain/caller.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { newId, type BlobId, type ProcessId, type SegmentId, type TaskId } from '../domain/ids.ts';
import { BlobSegment } from '../storage/blob.ts';
import { isTerminal } from '../tasks/state-machine.ts';
import { faultOf } from '../tasks/fault-report.ts';
import type { LedgerEntry } from '../tasks/ledger-entry.ts';
import { transitionError } from '../tasks/task-errors.ts';
import type { TaskLedger } from '../tasks/task-ledger.ts';
import type { Task } from '../tasks/task.ts';
import type { SucceededTask } from './succeeded-upload.ts';
import { admitUpload, type UploadAdmission } from './upload-admission.ts';
import { fencedError, type WriterLease } from './writer-lease.ts';
import { isProcessAlive } from './writer-process.ts';

/** What a would-be writer is told. */
export type Attachment =
  | { readonly kind: 'lease'; readonly lease: WriterLease }
  /** The upload is done; what is sent again can only be compared. */
  | ({ readonly kind: 'succeeded' } & SucceededTask);

/** Who wants to write. */
export interface WouldBeWriter {
  /** Undefined for the service itself, which completes what a client has sent. */
  readonly caller: Caller | undefined;
  /** Undefined: only if no other stream has the upload. */
  readonly epoch: number | undefined;
  readonly processId: ProcessId;
  /** For people: who it is, in answers to others that want to write. */
  readonly peer: string;
  /** Whether another call of the same process may have the upload; asked while the task is locked. */
  readonly isHeldBesides: () => boolean;
}

const writerActiveRetryDelayMs = 1000;

/**
 * Attaches a writer to an upload. With an epoch, it must be the current one; without, nobody else may
 * be attached, and a new epoch begins, unless it is the service itself.
 *
 * @throws DarkroomError TASK_NOT_FOUND, TASK_TERMINAL, TASK_EXPIRED, TASK_STATE_INVALID (an import),
 *   WRITER_ACTIVE, WRITER_FENCED, TOO_MANY_UPLOADS.
 */
export async function attachWriter(
  ledger: TaskLedger,
  taskId: TaskId,
  writer: WouldBeWriter,
  admission: UploadAdmission,
): Promise<Attachment> {
  return ledger.change(taskId, writer.caller, async (entry) => {
    const { task } = entry;
    if (task.state === 'SUCCEEDED') {
      return { kind: 'succeeded', image: entry.image, task };
    }
    if (isTerminal(task.state)) {
      throw transitionError(task, 'START');
    }
    assertTakesBytes(task);
    if (writer.epoch !== undefined && writer.epoch !== task.writerEpoch) {
      throw fencedError(task.id, writer.epoch, task.writerEpoch);
    }
    if (await isWriterActive(entry, writer)) {
      throw writerActive(task);
    }
    await admitUpload(entry.em, task, admission);
    const { blobId } = task;
    if (!blobId) {
      throw new DarkroomError('INTERNAL', `Task ${task.id} is live and has no blob.`);
    }
    const segments = await findSegments(entry, blobId);
    const continued = continueEpoch(entry, writer, segments);
    if (task.state === 'PENDING') {
      entry.start('RECEIVING', `${writer.peer} began to upload`);
    } else if (writer.caller) {
      entry.enterPhase('RECEIVING', `${writer.peer} goes on at byte ${task.committedSize}`);
    }
    task.writerProcessId = writer.processId;
    task.writerPeer = writer.peer;
    task.writerSince = entry.now;
    const own = continued ?? beginSegment(entry, blobId);
    return { kind: 'lease', lease: leaseOf(task, writer.processId, own, segments) };
  });
}

/**
 * Gives an upload to a new writer: the old one is fenced. A task that has SUCCEEDED is answered as it
 * is, so that a client whose answer was lost can send its finish again.
 *
 * @throws DarkroomError TASK_NOT_FOUND, TASK_TERMINAL, TASK_EXPIRED, TASK_STATE_INVALID (an import).
 */
export async function giveToNewWriter(
  ledger: TaskLedger,
  taskId: TaskId,
  caller: Caller,
  peer: string,
): Promise<Task> {
  return ledger.change(taskId, caller, (entry) => {
    const { task } = entry;
    if (task.state !== 'SUCCEEDED') {
      assertTakesBytes(task);
      const superseded = task.writerPeer ? `, which ${task.writerPeer} was writing` : '';
      entry.changeWriter(`${peer} resumes the upload${superseded}, at byte ${task.committedSize}`);
    }
    return task;
  });
}

function assertTakesBytes(task: Task): void {
  if (task.type === 'IMPORT') {
    throw new DarkroomError(
      'TASK_STATE_INVALID',
      `Task ${task.id} is an import: the service fetches its bytes itself and takes none from a client.`,
    );
  }
}

/** Whether somebody else writes. A writer that is gone is recorded as such. */
async function isWriterActive(entry: LedgerEntry, writer: WouldBeWriter): Promise<boolean> {
  const { writerProcessId } = entry.task;
  if (!writerProcessId) {
    return false;
  }
  // This very process knows best what it has: the end of a session, or the answer to its attaching,
  // may have been lost with the database's connection.
  const isActive =
    writerProcessId === writer.processId
      ? writer.isHeldBesides()
      : await isProcessAlive(entry.em, writerProcessId);
  if (!isActive) {
    entry.survive(faultOf(lostStream(entry.task)));
  }
  return isActive;
}

/** The fault of a task whose writer is gone without a word. */
export function lostStream(task: Task): DarkroomError {
  return new DarkroomError(
    'SERVICE_LOST',
    'The service process that took the upload died, or lost the database while the stream ended. ' +
      `${task.committedSize} bytes are stored: the upload can be resumed from there.`,
  );
}

/**
 * Begins a new epoch where one is due, and answers the segment that the writer goes on with; undefined
 * for one of its own.
 *
 * A segment is gone on with only if the last writer detached itself, which it does after its last write.
 * One that was cut off by force, or whose process died, may have a write under way; and so may the
 * writers of an earlier attempt from which the bytes were taken over.
 */
function continueEpoch(
  entry: LedgerEntry,
  writer: WouldBeWriter,
  segments: readonly BlobSegment[],
): BlobSegment | undefined {
  const { task } = entry;
  const last = segments.find(({ writerEpoch }) => writerEpoch === task.writerEpoch);
  const isOver = task.writerProcessId !== null && task.writerProcessId !== undefined;
  const isForeign = last !== undefined && task.state === 'PENDING';
  const continued = isOver || isForeign ? undefined : last;
  // The service itself takes nothing away from a client that has just resumed, to send its finish again.
  const isNewcomer = writer.epoch === undefined && writer.caller !== undefined;
  if (isNewcomer || isOver || isForeign) {
    beginEpoch(entry, `${writer.peer} began to upload at byte ${task.committedSize}`);
    if (continued) {
      continued.writerEpoch = task.writerEpoch;
    }
  }
  return continued;
}

function beginEpoch(entry: LedgerEntry, cause: string): void {
  // The first writer is no change of writers.
  if (entry.task.writerEpoch === 0) {
    entry.task.writerEpoch = 1;
  } else {
    entry.changeWriter(cause);
  }
}

async function findSegments({ task, em }: LedgerEntry, blobId: BlobId): Promise<BlobSegment[]> {
  // Nothing was written before the first epoch.
  return task.writerEpoch === 0
    ? []
    : em.find(BlobSegment, { blobId }, { orderBy: { startOffset: 'asc' } });
}

function beginSegment({ task, em, now }: LedgerEntry, blobId: BlobId): BlobSegment {
  const segment = em.create(BlobSegment, {
    id: newId<SegmentId>(),
    blobId,
    startOffset: task.committedSize,
    length: 0,
    storedBytes: 0,
    writerEpoch: task.writerEpoch,
    createTime: now,
  });
  em.persist(segment);
  return segment;
}

function leaseOf(
  task: Task,
  processId: ProcessId,
  own: BlobSegment,
  segments: readonly BlobSegment[],
): WriterLease {
  const { id, startOffset, length, storedBytes } = own;
  return {
    taskId: task.id,
    epoch: task.writerEpoch,
    processId,
    blobId: own.blobId,
    segment: { id, startOffset, length, storedBytes },
    earlier: segments
      .filter((segment) => segment !== own && segment.length > 0)
      .map((segment) => ({
        id: segment.id,
        startOffset: segment.startOffset,
        length: segment.length,
      })),
    committedSize: task.committedSize,
    storedBytes: task.storedBytes,
    expectedSize: task.expectedSize ?? null,
    expectedSha256: task.expectedSha256 ?? null,
    idleTimeoutMs: task.idleTimeoutMs,
  };
}

function writerActive(task: Task): DarkroomError {
  const since = task.writerSince?.toISOString() ?? 'just now';
  const peer = task.writerPeer ?? 'another stream';
  return new DarkroomError(
    'WRITER_ACTIVE',
    `Task ${task.id} is being uploaded by ${peer} since ${since}. Wait for it, or call ResumeUpload to take over.`,
    { metadata: { writer: peer, since }, retryDelayMs: writerActiveRetryDelayMs },
  );
}
