import type { EntityManager } from '@mikro-orm/postgresql';
import type { Caller } from '../domain/caller.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { newId, type ProcessId, type SegmentId, type TaskId } from '../domain/ids.ts';
import type { Image } from '../images/image.ts';
import { BlobSegment } from '../storage/blob.ts';
import type { LedgerEntry } from '../tasks/ledger-entry.ts';
import { isTerminal } from '../tasks/state-machine.ts';
import { transitionError } from '../tasks/task-errors.ts';
import type { TaskLedger } from '../tasks/task-ledger.ts';
import type { Task } from '../tasks/task.ts';
import { admit, type UploadAdmission } from './upload-admission.ts';
import { fencedError, type WriterLease } from './writer-lease.ts';

/** What a would-be writer is told. */
export type Attachment =
  | { readonly kind: 'lease'; readonly lease: WriterLease }
  /** The upload is done; what is sent again can only be compared. */
  | { readonly kind: 'succeeded'; readonly image: Image; readonly task: Task };

/** Who wants to write. */
export interface WouldBeWriter {
  readonly caller: Caller | undefined;
  /** Undefined: only if no other stream has the upload. */
  readonly epoch: number | undefined;
  readonly processId: ProcessId;
  /** For people: who it is, in answers to others that want to write. */
  readonly peer: string;
}

/** A process that gave no sign of life for so long does not hold anything (see ProcessRegistry). */
const processLifetime = '10 seconds';
const writerActiveRetryDelayMs = 1000;

/**
 * Attaches a writer to an upload. With an epoch, it must be the current one; without, nobody else may
 * be attached, and a new epoch begins.
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
    const { task, em } = entry;
    if (task.state === 'SUCCEEDED') {
      return { kind: 'succeeded', image: entry.image, task };
    }
    if (isTerminal(task.state)) {
      throw transitionError(task, 'START');
    }
    if (task.type === 'IMPORT') {
      throw new DarkroomError(
        'TASK_STATE_INVALID',
        `Task ${task.id} is an import: the service fetches its bytes itself and takes none from a client.`,
      );
    }
    if (writer.epoch !== undefined && writer.epoch !== task.writerEpoch) {
      throw fencedError(task.id, writer.epoch, task.writerEpoch);
    }
    if (task.writerProcessId) {
      if (await isAlive(em, task.writerProcessId)) {
        throw writerActive(task);
      }
    }
    await admit(em, task, admission);
    // An epoch is continued only if its last stream has detached itself: one that was cut off by
    // force, or whose process died, may still have a write under way.
    if (writer.epoch === undefined || task.writerProcessId) {
      beginEpoch(entry, `${writer.peer} began to upload at byte ${task.committedSize}`);
    }
    if (task.state === 'PENDING') {
      entry.start('RECEIVING', `${writer.peer} began to upload`);
    } else {
      entry.enterPhase('RECEIVING', `${writer.peer} goes on at byte ${task.committedSize}`);
    }
    task.writerProcessId = writer.processId;
    task.writerPeer = writer.peer;
    task.writerSince = entry.now;
    return { kind: 'lease', lease: await leaseOf(entry, writer.processId) };
  });
}

function beginEpoch(entry: LedgerEntry, cause: string): void {
  // The first writer is no change of writers.
  if (entry.task.writerEpoch === 0) {
    entry.task.writerEpoch = 1;
  } else {
    entry.changeWriter(cause);
  }
}

async function leaseOf(entry: LedgerEntry, processId: ProcessId): Promise<WriterLease> {
  const { task, em } = entry;
  const { blobId } = task;
  if (!blobId) {
    throw new DarkroomError('INTERNAL', `Task ${task.id} is live and has no blob.`);
  }
  const segments = await em.find(BlobSegment, { blobId }, { orderBy: { startOffset: 'asc' } });
  let own = segments.find(({ writerEpoch }) => writerEpoch === task.writerEpoch);
  if (!own) {
    own = em.create(BlobSegment, {
      id: newId<SegmentId>(),
      blobId,
      startOffset: task.committedSize,
      length: 0,
      storedBytes: 0,
      writerEpoch: task.writerEpoch,
      createTime: entry.now,
    });
    em.persist(own);
  }
  return {
    taskId: task.id,
    epoch: task.writerEpoch,
    processId,
    blobId,
    segment: {
      id: own.id,
      startOffset: own.startOffset,
      length: own.length,
      storedBytes: own.storedBytes,
    },
    earlier: segments
      .filter((segment) => segment !== own && segment.length > 0)
      .map(({ id, startOffset, length }) => ({ id, startOffset, length })),
    committedSize: task.committedSize,
    storedBytes: task.storedBytes,
    expectedSize: task.expectedSize ?? null,
    expectedSha256: task.expectedSha256 ?? null,
    idleTimeoutMs: task.idleTimeoutMs,
  };
}

/**
 * Gives an upload to a new writer: the old one is fenced. A task that has SUCCEEDED is answered as it
 * is, so that a client whose answer was lost can send its finish again.
 *
 * @throws DarkroomError TASK_NOT_FOUND, TASK_TERMINAL, TASK_EXPIRED.
 */
export async function giveToNewWriter(
  ledger: TaskLedger,
  taskId: TaskId,
  caller: Caller,
  peer: string,
): Promise<Task> {
  return ledger.change(taskId, caller, (entry) => {
    if (entry.task.state !== 'SUCCEEDED') {
      const { committedSize, writerPeer } = entry.task;
      const superseded = writerPeer ? `, which ${writerPeer} was writing` : '';
      entry.changeWriter(`${peer} resumes the upload${superseded}, at byte ${committedSize}`);
    }
    return entry.task;
  });
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

async function isAlive(em: EntityManager, processId: ProcessId): Promise<boolean> {
  const rows: unknown[] = await em.execute(
    `select 1 from processes where id = ? and heartbeat_time > now() - interval '${processLifetime}'`,
    [processId],
  );
  return rows.length > 0;
}
