import type { Caller } from '../../access/caller.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import {
  newId,
  type BlobId,
  type ProcessId,
  type SegmentId,
  type TaskId,
} from '../../records/ids.ts';
import type { BlobSegment } from '../../records/blob.ts';
import { isTerminal } from '../../tasks/ledger/state-machine.ts';
import { faultOf } from '../../tasks/ledger/fault-report.ts';
import type { LedgerEntry } from '../../tasks/ledger/ledger-entry.ts';
import { transitionError, whereToGoOn } from '../../tasks/ledger/task-errors.ts';
import type { TaskLedger } from '../../tasks/ledger/task-ledger.ts';
import type { Task } from '../../records/task.ts';
import type { Image } from '../../records/image.ts';
import type { LockedEntry } from '../../tasks/ledger/locked-entry.ts';
import {
  attachFacts,
  attachFactsWithPast,
  writerFacts,
  writersBesides,
  type AttachFacts,
} from './attach-facts.ts';
import {
  admissionOf,
  admitUpload,
  hasAmpleRoom,
  limitOf,
  mayImport,
  type UploadAdmission,
} from './upload-admission.ts';
import { leaseOf } from './lease-of.ts';
import { agreeOnTerms, type UploadTerms } from './upload-terms.ts';
import { fencedError, type WriterLease } from './writer-lease.ts';

/** A task that has SUCCEEDED, and its image. */
export interface SucceededTask {
  readonly image: Image;
  readonly task: Task;
}

/** What a would-be writer is told. */
export type Attachment =
  | { readonly kind: 'lease'; readonly lease: WriterLease }
  /** The upload is done; what is sent again can only be compared. */
  | ({ readonly kind: 'succeeded' } & SucceededTask)
  /** An import that another worker has, that has ended, or that must wait. */
  | { readonly kind: 'taken' };

/** Who wants to write, and why. */
export type WriterRole =
  /** A client that sends. Without an epoch it is taken only if no other stream has the upload. */
  | {
      readonly kind: 'client';
      readonly caller: Caller;
      readonly epoch: number | undefined;
      /** Of a stream without frames. */
      readonly terms?: UploadTerms | undefined;
    }
  /** The service itself, which fetches the bytes of an import. */
  | { readonly kind: 'import'; readonly maxOfProject: number }
  /** The service itself, which completes what was received. */
  | { readonly kind: 'completion' };

/** A would-be writer. */
export interface WouldBeWriter {
  readonly role: WriterRole;
  readonly processId: ProcessId;
  /** For people: who it is, in answers to others that want to write. */
  readonly peer: string;
  /** Whether another call of the same process may have the upload; asked while the task is locked. */
  readonly isHeldBesides: () => boolean;
}

const writerActiveRetryDelayMs = 1000;

/**
 * Attaches a writer to a task that is to get bytes. A client's epoch must be the current one; without one
 * nobody else may be attached, and a new epoch begins.
 *
 * Near the limit of uploads it is decided under a lock, else at once.
 *
 * @throws DarkroomError TASK_NOT_FOUND, TASK_TERMINAL, TASK_EXPIRED, TASK_STATE_INVALID (a client, of an
 *   import), FORMAT_NOT_SET, WRITER_ACTIVE, WRITER_FENCED, TOO_MANY_UPLOADS; as `agreeOnTerms`.
 */
export async function attachWriter(
  ledger: TaskLedger,
  taskId: TaskId,
  writer: WouldBeWriter,
  admission: UploadAdmission,
): Promise<Attachment> {
  const { role } = writer;
  if (role.kind === 'import') {
    // Whoever holds the lock just now is about to have the task, or to end it.
    const outcome = await ledger.tryChange(taskId, (entry) => claimImport(entry, writer, role));
    return outcome?.value ?? { kind: 'taken' };
  }
  const { caller, terms } = role.kind === 'client' ? role : { caller: undefined, terms: undefined };
  const asked = terms === undefined ? attachFacts : attachFactsWithPast;
  const attachment = await ledger.changeAtOnce(taskId, caller, asked, (entry, facts) =>
    hasAmpleRoom(writersBesides(entry.task, facts), admissionOf(admission, facts.limits))
      ? decideAttachment(entry, writer, facts)
      : undefined,
  );
  return (
    attachment ??
    ledger.change(taskId, caller, async (entry) => {
      const facts = await entry.readFacts(asked);
      const attached = decideAttachment(entry, writer, facts);
      if (attached.kind === 'lease') {
        await admitUpload(entry.em, entry.task, admissionOf(admission, facts.limits));
      }
      return attached;
    })
  );
}

function decideAttachment(
  entry: LedgerEntry,
  writer: WouldBeWriter,
  facts: AttachFacts,
): Attachment {
  const { task } = entry;
  const { role } = writer;
  if (task.state === 'SUCCEEDED') {
    return { kind: 'succeeded', image: entry.image, task };
  }
  if (isTerminal(task.state)) {
    throw transitionError(task, 'START');
  }
  if (role.kind === 'client') {
    assertTakesBytes(task);
    if (role.epoch !== undefined && role.epoch !== task.writerEpoch) {
      throw fencedError(task.id, role.epoch, task.writerEpoch);
    }
  }
  if (isWriterActive(entry, writer, facts)) {
    throw writerActive(task);
  }
  if (role.kind === 'client' && role.terms !== undefined) {
    agreeOnTerms(task, role.terms, facts.hasBrokenOff);
  }
  return attach(entry, writer, facts);
}

async function claimImport(
  entry: LockedEntry,
  writer: WouldBeWriter,
  { maxOfProject }: Extract<WriterRole, { kind: 'import' }>,
): Promise<Attachment> {
  const { task } = entry;
  const facts = await entry.readFacts(attachFacts);
  const isOpen =
    task.type === 'IMPORT' && !isTerminal(task.state) && !isWriterActive(entry, writer, facts);
  return isOpen && (await mayImport(entry.em, task, limitOf(facts.limits.maxImports, maxOfProject)))
    ? attach(entry, writer, facts)
    : { kind: 'taken' };
}

function attach(entry: LedgerEntry, writer: WouldBeWriter, { segments }: AttachFacts): Attachment {
  const { task } = entry;
  const { blobId } = task;
  if (!blobId) {
    throw new DarkroomError('INTERNAL', `Task ${task.id} is live and has no blob.`);
  }
  const continued = continueEpoch(entry, writer, segments);
  if (writer.role.kind !== 'completion') {
    enterTransfer(entry, writer);
  }
  task.writerProcessId = writer.processId;
  task.writerPeer = writer.peer;
  task.writerSince = entry.now;
  const own = continued ?? beginSegment(entry, blobId);
  const terms = writer.role.kind === 'client' ? writer.role.terms : undefined;
  return { kind: 'lease', lease: leaseOf(entry, writer.processId, own, segments, terms) };
}

function enterTransfer(entry: LedgerEntry, { role, peer }: WouldBeWriter): void {
  const { task } = entry;
  const [phase, verb] =
    role.kind === 'import' ? (['FETCHING', 'fetch'] as const) : (['RECEIVING', 'upload'] as const);
  if (task.state === 'PENDING') {
    entry.start(phase, `${peer} began to ${verb}`);
  } else {
    entry.enterPhase(phase, `${peer} goes on at byte ${task.committedSize}`);
  }
}

/**
 * Gives an upload to a new writer: the old one is fenced. A task that has SUCCEEDED is answered as it
 * is, so that a client whose answer was lost can send its finish again; and so is one whose bytes are being
 * unpacked, for a client that did not wait for it would begin it anew, again and again.
 *
 * @throws DarkroomError TASK_NOT_FOUND, TASK_TERMINAL, TASK_EXPIRED, TASK_STATE_INVALID (an import).
 */
export async function giveToNewWriter(
  ledger: TaskLedger,
  taskId: TaskId,
  caller: Caller,
  peer: string,
): Promise<Task> {
  return ledger.changeAtOnce(taskId, caller, writerFacts, (entry, { hasLiveWriter }) => {
    const { task } = entry;
    const isBeingUnpacked = task.phase === 'UNPACKING' && hasLiveWriter;
    if (task.state !== 'SUCCEEDED' && !isBeingUnpacked) {
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
function isWriterActive(
  entry: LedgerEntry,
  writer: WouldBeWriter,
  { hasLiveWriter }: AttachFacts,
): boolean {
  const { writerProcessId } = entry.task;
  if (!writerProcessId) {
    return false;
  }
  // This very process knows best what it has: the end of a session, or the answer to its attaching,
  // may have been lost with the database's connection.
  const isActive = writerProcessId === writer.processId ? writer.isHeldBesides() : hasLiveWriter;
  if (!isActive) {
    entry.survive(faultOf(lostStream(entry.task)));
  }
  return isActive;
}

/** The fault of a task whose writer is gone without a word. */
export function lostStream(task: Task): DarkroomError {
  return new DarkroomError(
    'SERVICE_LOST',
    `The service process that ${task.type === 'IMPORT' ? 'fetched the image' : 'took the upload'} died, or lost the ` +
      `database while it ended. ${whereToGoOn(task)}`,
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
  const isNewcomer =
    writer.role.kind === 'import' ||
    (writer.role.kind === 'client' && writer.role.epoch === undefined);
  if (isNewcomer || isOver || isForeign) {
    const verb = writer.role.kind === 'import' ? 'fetch' : 'upload';
    beginEpoch(entry, `${writer.peer} began to ${verb} at byte ${task.committedSize}`);
    if (continued) {
      continued.writerEpoch = task.writerEpoch;
      entry.rows.putSegment(continued);
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

function beginSegment({ task, rows, now }: LedgerEntry, blobId: BlobId): BlobSegment {
  const segment: BlobSegment = {
    id: newId<SegmentId>(),
    blobId,
    startOffset: task.committedSize,
    length: 0,
    storedBytes: 0,
    writerEpoch: task.writerEpoch,
    createTime: now,
  };
  rows.putSegment(segment);
  return segment;
}

function writerActive(task: Task): DarkroomError {
  const since = task.writerSince?.toISOString() ?? 'just now';
  const peer = task.writerPeer ?? 'another stream';
  return new DarkroomError(
    'WRITER_ACTIVE',
    task.phase === 'UNPACKING'
      ? `All bytes of task ${task.id} have come and are being unpacked. Wait for it with WatchTask, or send the finish ` +
          'again later.'
      : `Task ${task.id} is being uploaded by ${peer} since ${since}. Wait for it, or call ResumeUpload to take over.`,
    { metadata: { writer: peer, since }, retryDelayMs: writerActiveRetryDelayMs },
  );
}
