import type { Caller } from '../../access/caller.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { FailureReason } from '../../domain/failure-reason.ts';
import { FieldChecks } from '../../domain/field-checks.ts';
import { parseId, type TaskId } from '../../records/ids.ts';
import { checkRequestId } from '../../records/field-limits.ts';
import { ImportOrder } from '../../records/import-order.ts';
import { Blob } from '../../records/blob.ts';
import { Fault } from '../../records/fault.ts';
import { transitionError } from '../ledger/task-errors.ts';
import type { LockedEntry } from '../ledger/locked-entry.ts';
import type { TaskLedger } from '../ledger/task-ledger.ts';
import { snapshotOf } from '../reading/task-queries.ts';
import type { TaskSnapshot } from '../reading/task-reader.ts';
import type { RetryTaskRequest } from './control-requests.ts';
import { Task } from '../../records/task.ts';

/** What RetryTask needs besides its arguments. */
export interface RetryParts {
  readonly ledger: TaskLedger;
  /** Called after a commit that left bytes to be removed. */
  readonly onBlobsReleased: () => void;
  /** Called after a commit that left an import to be fetched. */
  readonly onImportDue: () => void;
}

/**
 * Makes the next attempt at a FAILED or CANCELLED task. It takes over the committed bytes, unless they
 * are in doubt: then they go, and it begins at the first byte. A task that was retried already answers
 * with its retry, as long as that is the image's newest task.
 *
 * @throws DarkroomError FIELD_INVALID, TASK_NOT_FOUND, TASK_STATE_INVALID, IMAGE_STATE_INVALID
 */
export async function retryTask(
  parts: RetryParts,
  caller: Caller,
  request: RetryTaskRequest,
): Promise<TaskSnapshot> {
  const checks = new FieldChecks();
  checkRequestId(checks, 'request_id', request.requestId);
  const { taskId } = checks.settle({
    taskId: checks.attempt(() => parseId<TaskId>(request.taskId, 'task_id')),
  });
  const retry = (): Promise<Retry> =>
    parts.ledger.change(taskId, caller, (entry) => retryLocked(entry, caller, request.requestId));
  const { snapshot, hasReleasedBytes } = await retry().catch((error: unknown) => {
    // Its time had just passed, and it has failed in this moment: now it can be retried.
    if (error instanceof DarkroomError && error.reason === 'TASK_EXPIRED') {
      return retry();
    }
    throw error;
  });
  if (hasReleasedBytes) {
    parts.onBlobsReleased();
  }
  if (snapshot.task.type === 'IMPORT') {
    parts.onImportDue();
  }
  return snapshot;
}

interface Retry {
  readonly snapshot: TaskSnapshot;
  readonly hasReleasedBytes: boolean;
}

async function retryLocked(entry: LockedEntry, caller: Caller, requestId: string): Promise<Retry> {
  const { task, image, em } = entry;
  if (task.retriedBy && task.retriedBy === image.latestTaskId) {
    const existing = await em.findOneOrFail(Task, { id: task.retriedBy });
    return { snapshot: await snapshotOf(em, existing), hasReleasedBytes: false };
  }
  if (task.state !== 'FAILED' && task.state !== 'CANCELLED') {
    throw transitionError(task, 'LINK_RETRY');
  }
  if (image.latestTaskId !== task.id) {
    throw new DarkroomError(
      'TASK_STATE_INVALID',
      `Task ${task.id} is not the newest of its image any more: retry task ${image.latestTaskId}.`,
      { metadata: { task_id: task.id, latest_task_id: image.latestTaskId ?? '' } },
    );
  }
  if (image.state !== 'QUEUED') {
    throw new DarkroomError(
      'IMAGE_STATE_INVALID',
      `Image ${image.id} is ${image.state}: only a QUEUED one can still get its bytes. Create a new image.`,
      { metadata: { image_id: image.id, state: image.state } },
    );
  }
  const oldBlobId = task.blobId;
  const doubt = await em.findOne(
    Fault,
    { taskId: task.id, reason: { $in: reasonsToDoubt } },
    { orderBy: { sequence: 'desc' } },
  );
  // An import that was cancelled holds no bytes any more.
  const isAnew = doubt !== null || !oldBlobId;
  const next = entry.retry(
    requestId === '' ? null : requestId,
    caller,
    !isAnew,
    `Retry of task ${task.id} by user ${caller.userId}: ` +
      (doubt
        ? `from the first byte, for ${doubt.reason}`
        : `from byte ${isAnew ? 0 : task.committedSize}`),
  );
  entry.touchImage();
  if (task.type === 'IMPORT') {
    await renewOrder(entry, isAnew);
  }
  if (doubt && oldBlobId) {
    task.blobId = null;
    const gone = { state: 'DELETING', updateTime: entry.now } as const;
    await em.nativeUpdate(Blob, { id: oldBlobId }, gone);
  }
  return {
    snapshot: { task: next, lastFault: undefined },
    hasReleasedBytes: doubt !== null && Boolean(oldBlobId),
  };
}

/** The tries of a retry are its own; what the source said of bytes that are given up is forgotten. */
async function renewOrder({ em, image, now }: LockedEntry, isAnew: boolean): Promise<void> {
  const order = await em.findOneOrFail(ImportOrder, { imageId: image.id });
  order.tries = 0;
  order.nextTryTime = now;
  if (isAnew) {
    order.validator = null;
    order.sourceSize = null;
  }
}

/**
 * Faults, fatal or survived, that leave doubt whether the stored bytes are the image's: they altered on
 * the way, there were too many, the store lost some, they cannot be unpacked, they are no image of the declared format, or the
 * client or the source holds others than before. An
 * attempt that took over such bytes could only fail again, or worse, succeed with a mixture.
 */
const reasonsToDoubt: FailureReason[] = [
  'DIGEST_MISMATCH',
  'SIZE_EXCEEDED',
  'STORED_BYTES_LOST',
  'REPLAY_MISMATCH',
  'COMPRESSION_INVALID',
  'FORMAT_MISMATCH',
  'FORMAT_UNSAFE',
  'SOURCE_CHANGED',
];
