import type { Database } from '../../database/database.ts';
import { newId, type BlobId, type SegmentId } from '../../records/ids.ts';
import { Blob, BlobSegment } from '../../records/blob.ts';
import { Fault } from '../../records/fault.ts';
import type { LockedEntry } from '../../tasks/ledger/locked-entry.ts';
import { transitionError } from '../../tasks/ledger/task-errors.ts';
import type { TaskLedger } from '../../tasks/ledger/task-ledger.ts';
import type { FinishClaim } from '../publishing/finish-claim.ts';
import { recordFinish } from '../publishing/publish.ts';
import { assertLease, type WriterLease } from '../lease/writer-lease.ts';

/** A blob into which another one is unpacked, of one segment. */
export interface UnpackingBlob {
  readonly blobId: BlobId;
  readonly segmentId: SegmentId;
}

/** So often is it tried, besides the tries that a stopping service ended. */
const maxTries = 20;
/** So often may a service die over the same bytes: it may be them that it dies of. */
const maxLosses = 5;

/** Names for the blob of one try. */
export function newUnpackingBlob(): UnpackingBlob {
  return { blobId: newId<BlobId>(), segmentId: newId<SegmentId>() };
}

/**
 * Enters the phase UNPACKING, and gives the blob its rows, which are there before its file. From here on the
 * task completes by itself. Harmless to repeat.
 *
 * Each try may take as long as it makes progress, and there are so many tries: then the task fails.
 *
 * @throws DarkroomError WRITER_FENCED; TASK_TERMINAL, also where it was tried too often.
 */
export async function beginUnpacking(
  ledger: TaskLedger,
  lease: WriterLease,
  claim: FinishClaim,
  { blobId, segmentId }: UnpackingBlob,
): Promise<void> {
  const mayBegin = await ledger.change(lease.taskId, undefined, async (entry) => {
    assertLease(entry, lease);
    const { em, task, now } = entry;
    if (await em.findOne(Blob, { id: blobId })) {
      // The answer to the first try was lost with the database's connection.
      return true;
    }
    if (await failIfTriedTooOften(entry)) {
      return false;
    }
    recordFinish(entry, claim);
    entry.enterPhase('UNPACKING', `size and digest of ${claim.totalSize} bytes agree`);
    entry.signOfLife();
    task.unpackedSize = 0;
    const times = { createTime: now, updateTime: now };
    const unpacking = {
      projectId: task.projectId,
      unpackingTaskId: task.id,
      unpackingEpoch: lease.epoch,
    };
    em.persist(em.create(Blob, { id: blobId, state: 'STAGED', ...unpacking, ...times }));
    em.persist(
      em.create(BlobSegment, {
        id: segmentId,
        blobId,
        startOffset: 0,
        length: 0,
        storedBytes: 0,
        writerEpoch: lease.epoch,
        createTime: now,
      }),
    );
    return true;
  });
  if (!mayBegin) {
    throw await ledger.change(lease.taskId, undefined, ({ task }) =>
      transitionError(task, 'PROGRESS'),
    );
  }
}

async function failIfTriedTooOften(entry: LockedEntry): Promise<boolean> {
  const { em, task } = entry;
  const faults = await em.find(
    Fault,
    { taskId: task.id, phase: 'UNPACKING', reason: { $ne: 'SERVER_DRAINING' } },
    { orderBy: { sequence: 'asc' } },
  );
  const losses = faults.filter(({ reason }) => reason === 'SERVICE_LOST').length;
  const last = faults.at(-1);
  if (!last || (faults.length < maxTries && losses < maxLosses)) {
    return false;
  }
  const { reason, code, message, origin, retryable } = last;
  const tries = `That was the last of ${faults.length} tries to unpack what came.`;
  entry.fail({
    reason,
    code,
    message: `${message} ${tries} RetryTask makes more, with the bytes that are stored.`,
    origin,
    retryable,
  });
  return true;
}

/**
 * Records how many of the bytes that came are unpacked, and moves the expire_time on. Does nothing for a
 * writer that was superseded.
 */
export async function noteUnpacked(
  database: Database,
  lease: WriterLease,
  unpackedSize: number,
): Promise<void> {
  await database.run({
    name: 'note-unpacked',
    text: `
      update tasks
      set unpacked_size = $4, update_time = now(),
          expire_time = now() + idle_timeout_ms * interval '1 ms'
      where id = $1 and writer_epoch = $2 and writer_process_id = $3 and state = 'RUNNING'`,
    values: [lease.taskId, lease.epoch, lease.processId, unpackedSize],
  });
}

/**
 * Moves the expire_time of a task on that waits only because others are being unpacked, before its first
 * try: the tries after it must not keep it for ever. Does nothing for a writer that was superseded.
 */
export async function keepUnpackingWaiting(database: Database, lease: WriterLease): Promise<void> {
  await database.run({
    name: 'keep-unpacking-waiting',
    text: `
      update tasks
      set update_time = now(), expire_time = now() + idle_timeout_ms * interval '1 ms'
      where id = $1 and writer_epoch = $2 and writer_process_id = $3 and state = 'RUNNING'
        and phase <> 'UNPACKING'`,
    values: [lease.taskId, lease.epoch, lease.processId],
  });
}

/** Gives up a blob that was not published. Answers whether it did. */
export async function releaseUnpacking(database: Database, blobId: BlobId): Promise<boolean> {
  const { rowCount } = await database.pool.query(
    `update blobs set state = 'DELETING', update_time = now()
     where id = $1 and state = 'STAGED'`,
    [blobId],
  );
  return rowCount === 1;
}
