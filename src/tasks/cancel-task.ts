import type { Caller } from '../domain/caller.ts';
import { FieldChecks } from '../domain/field-checks.ts';
import { parseId, type TaskId } from '../domain/ids.ts';
import { checkText } from './people-text.ts';
import type { TaskLedger } from './task-ledger.ts';
import { snapshotOf } from './task-queries.ts';
import type { TaskSnapshot } from './task-reader.ts';
import type { CancelTaskRequest } from './task-requests.ts';

/**
 * Ends a task that is not terminal. Its bytes are kept for a retry. Cancelling a cancelled task changes
 * nothing and answers as the first time.
 *
 * @throws DarkroomError FIELD_INVALID, TASK_NOT_FOUND, TASK_TERMINAL (succeeded or failed), TASK_EXPIRED
 */
export async function cancelTask(
  ledger: TaskLedger,
  caller: Caller,
  request: CancelTaskRequest,
): Promise<TaskSnapshot> {
  const { reason } = request;
  const checks = new FieldChecks();
  checkText(checks, 'reason', reason, { min: 0, max: 1024 });
  const { taskId } = checks.settle({
    taskId: checks.attempt(() => parseId<TaskId>(request.taskId, 'task_id')),
  });
  return ledger.change(taskId, caller, async (entry) => {
    if (entry.task.state !== 'CANCELLED') {
      entry.cancel(`Cancelled by user ${caller.userId}${reason === '' ? '' : `: ${reason}`}`);
    }
    return snapshotOf(entry.em, entry.task);
  });
}
