import type { Caller } from '../../access/caller.ts';
import { FieldChecks } from '../../domain/field-checks.ts';
import { parseId, type BlobId, type TaskId } from '../../records/ids.ts';
import { Blob } from '../../records/blob.ts';
import { checkText } from '../../domain/people-text.ts';
import type { TaskLedger } from '../ledger/task-ledger.ts';
import { snapshotOf } from '../reading/task-queries.ts';
import type { TaskSnapshot } from '../reading/task-reader.ts';
import type { CancelTaskRequest } from './control-requests.ts';

/** What CancelTask needs besides its arguments. */
export interface CancelParts {
  readonly ledger: TaskLedger;
  /** Called after a commit that left bytes to be removed. */
  readonly onBlobsReleased: () => void;
}

/**
 * Ends a task that is not terminal. The bytes that a client sent are kept for a retry; those of an import,
 * which its source still has, go. Cancelling a cancelled task changes nothing and answers as the first time.
 *
 * @throws DarkroomError FIELD_INVALID, TASK_NOT_FOUND, TASK_TERMINAL (succeeded or failed), TASK_EXPIRED
 */
export async function cancelTask(
  { ledger, onBlobsReleased }: CancelParts,
  caller: Caller,
  request: CancelTaskRequest,
): Promise<TaskSnapshot> {
  const { reason } = request;
  const checks = new FieldChecks();
  checkText(checks, 'reason', reason, { min: 0, max: 1024 });
  const { taskId } = checks.settle({
    taskId: checks.attempt(() => parseId<TaskId>(request.taskId, 'task_id')),
  });
  const outcome = await ledger.change(taskId, caller, async (entry) => {
    const { em, task, now } = entry;
    let releasedBlob: BlobId | null = null;
    if (task.state !== 'CANCELLED') {
      entry.cancel(`Cancelled by user ${caller.userId}${reason === '' ? '' : `: ${reason}`}`);
      if (task.type === 'IMPORT') {
        releasedBlob = task.blobId ?? null;
        task.blobId = null;
        await em.nativeUpdate(Blob, { id: releasedBlob }, { state: 'DELETING', updateTime: now });
      }
    }
    return { snapshot: await snapshotOf(em, task), releasedBlob };
  });
  if (outcome.releasedBlob) {
    onBlobsReleased();
  }
  return outcome.snapshot;
}
