import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../database/database.ts';
import type { Caller } from '../domain/caller.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { newId, type BlobId, type ProcessId, type SegmentId, type TaskId } from '../domain/ids.ts';
import type { Image } from '../images/image.ts';
import type { SegmentPlace } from '../storage/blob-reader.ts';
import { BlobSegment } from '../storage/blob.ts';
import { isTerminal } from '../tasks/state-machine.ts';
import { transitionError } from '../tasks/task-errors.ts';
import type { LedgerEntry } from '../tasks/ledger-entry.ts';
import type { TaskLedger } from '../tasks/task-ledger.ts';
import { Task } from '../tasks/task.ts';

/** The right to append to an upload: one stream's, in one process, for one writer epoch. */
export interface WriterLease {
  readonly taskId: TaskId;
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
  readonly idleTimeoutMs: number;
}

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

/** How many streams may write at the same time, over all processes. */
export interface UploadAdmission {
  readonly maxUploads: number;
  readonly maxUploadsPerProject: number;
}

/** A process that gave no sign of life for so long does not hold anything (see ProcessRegistry). */
const processLifetime = '10 seconds';
/** "admi" in ASCII: the advisory lock under which uploads are counted. */
const admissionLock = 0x61646d69;
/** So many writers below a limit nobody need wait for the lock: more never begin in the same instant. */
const admissionSlack = 32;
const admissionRetryDelayMs = 5000;
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
  const { rowCount } = await database.pool.query({
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

/** Detaches the lease's stream, whose writes have all ended; the epoch can be continued. */
export async function detachWriter(database: Database, lease: WriterLease): Promise<void> {
  await database.pool.query({
    name: 'detach-writer',
    text: `
      update tasks
      set writer_process_id = null, writer_peer = null, writer_since = null, update_time = now()
      where id = $1 and writer_epoch = $2 and writer_process_id = $3`,
    values: [lease.taskId, lease.epoch, lease.processId],
  });
}

/** Why a lease does not hold any more; undefined while it does. */
export async function leaseLoss(
  database: Database,
  lease: WriterLease,
): Promise<DarkroomError | undefined> {
  const task = await database.fork().findOne(Task, { id: lease.taskId });
  if (!task || isTerminal(task.state)) {
    return task
      ? transitionError(task, 'PROGRESS')
      : new DarkroomError('TASK_NOT_FOUND', `Task ${lease.taskId} is gone.`);
  }
  const holds = task.writerEpoch === lease.epoch && task.writerProcessId === lease.processId;
  return holds ? undefined : fencedError(task.id, lease.epoch, task.writerEpoch);
}

function fencedError(taskId: TaskId, epoch: number, current: number): DarkroomError {
  return new DarkroomError(
    'WRITER_FENCED',
    `The upload of task ${taskId} was given to another writer: epoch ${epoch} is over, the current one is ` +
      `${current}. If this is the writer that should go on, call ResumeUpload.`,
    { metadata: { writer_epoch: String(current) } },
  );
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

/**
 * Refuses a writer where too many write already. Counting is exact only under a lock, which would have
 * all uploads begin one after the other: it is taken only near a limit.
 */
async function admit(em: EntityManager, task: Task, admission: UploadAdmission): Promise<void> {
  if (isFull(await countWriters(em, task), admission, admissionSlack)) {
    await em.execute('select pg_advisory_xact_lock(?)', [admissionLock]);
    const writers = await countWriters(em, task);
    if (isFull(writers, admission, 0)) {
      throw new DarkroomError(
        'TOO_MANY_UPLOADS',
        `Too many uploads are under way: ${writers.own} of ${admission.maxUploadsPerProject} allowed in project ` +
          `${task.projectId}, ${writers.all} of ${admission.maxUploads} in all. Try again later.`,
        { retryDelayMs: admissionRetryDelayMs },
      );
    }
  }
}

interface WriterCount {
  readonly own: number;
  readonly all: number;
}

function isFull(writers: WriterCount, admission: UploadAdmission, slack: number): boolean {
  return (
    writers.own + slack >= admission.maxUploadsPerProject ||
    writers.all + slack >= admission.maxUploads
  );
}

/** By the partial index tasks_writing, which holds no more rows than there are writers. */
async function countWriters(em: EntityManager, task: Task): Promise<WriterCount> {
  const rows: WriterCount[] = await em.execute(
    `select count(*)::int as all, (count(*) filter (where project_id = ?))::int as own
     from tasks where writer_process_id is not null and id <> ?`,
    [task.projectId, task.id],
  );
  return rows[0] ?? { own: 0, all: 0 };
}
