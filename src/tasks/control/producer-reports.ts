import { Code } from '../../../gen/google/rpc/code_pb.ts';
import type { Caller } from '../../access/caller.ts';
import { FieldChecks } from '../../domain/field-checks.ts';
import { parseId, type TaskId } from '../../records/ids.ts';
import { quoted } from '../../domain/quoted.ts';
import type { Fault } from '../../records/fault.ts';
import { checkText } from '../../domain/people-text.ts';
import { mayProduce } from '../../access/rights.ts';
import { taskNotFound } from '../../access/find-task.ts';
import type { LedgerEntry } from '../ledger/ledger-entry.ts';
import type { TaskLedger } from '../ledger/task-ledger.ts';
import { snapshotOf } from '../reading/task-queries.ts';
import type { TaskSnapshot } from '../reading/task-reader.ts';
import type { ReportFaultRequest, ReportProgressRequest } from './control-requests.ts';

/**
 * The producer says how far it is. What it counts shows as the task's progress while no byte has
 * arrived; each report moves expire_time on.
 *
 * @throws DarkroomError FIELD_INVALID, TASK_NOT_FOUND, TASK_TERMINAL, TASK_EXPIRED
 */
export async function reportProgress(
  ledger: TaskLedger,
  caller: Caller,
  request: ReportProgressRequest,
): Promise<TaskSnapshot> {
  const { message, bytesDone, bytesTotal } = request;
  const checks = new FieldChecks();
  checkText(checks, 'message', message, { min: 0, max: 1024 });
  for (const [field, bytes] of [
    ['bytes_done', bytesDone],
    ['bytes_total', bytesTotal],
  ] as const) {
    if (bytes !== undefined) {
      checks.wholeNumber(field, bytes, 0, Number.MAX_SAFE_INTEGER);
    }
  }
  const { taskId } = checks.settle({
    taskId: checks.attempt(() => parseId<TaskId>(request.taskId, 'task_id')),
  });
  return ledger.change(taskId, caller, async (entry) => {
    requireProducer(caller, entry);
    const { task } = entry;
    entry.signOfLife();
    task.message = message === '' ? task.message : message;
    task.reportedBytesDone = bytesDone ?? task.reportedBytesDone ?? null;
    task.reportedBytesTotal = bytesTotal ?? task.reportedBytesTotal ?? null;
    return snapshotOf(entry.em, task);
  });
}

/** What ReportFault answers. */
export interface ReportedFault {
  readonly snapshot: TaskSnapshot;
  readonly fault: Fault;
}

/**
 * The producer says what went wrong. A fatal fault ends the task, and its image is not to be hoped for
 * any more, in one transaction.
 *
 * @throws DarkroomError FIELD_INVALID, TASK_NOT_FOUND, TASK_TERMINAL, TASK_EXPIRED
 */
export async function reportFault(
  ledger: TaskLedger,
  caller: Caller,
  request: ReportFaultRequest,
): Promise<ReportedFault> {
  const { reason, message, detail, fatal } = request;
  const checks = new FieldChecks();
  if (!reasonPattern.test(reason)) {
    checks.add(
      'reason',
      `must be UPPER_SNAKE_CASE of 1 to 63 characters, such as DISK_READ_FAILED, not ${quoted(reason)}`,
    );
  }
  checkText(checks, 'message', message, { min: 1, max: 1024 });
  checkText(checks, 'detail', detail, { min: 0, max: 4096 });
  const { taskId, code } = checks.settle({
    code: checkCode(checks, request.code),
    taskId: checks.attempt(() => parseId<TaskId>(request.taskId, 'task_id')),
  });
  return ledger.change(taskId, caller, (entry) => {
    requireProducer(caller, entry);
    const report = {
      code,
      reason,
      message,
      detail,
      origin: 'PRODUCER',
      retryable: retryableCodes.has(code),
    } as const;
    const fault = fatal ? entry.fail(report) : entry.survive(report);
    return { snapshot: { task: entry.task, lastFault: fault }, fault };
  });
}

/** As the table `faults` demands it. */
const reasonPattern = /^[A-Z][A-Z0-9_]{0,62}$/;

/**
 * Codes with which the same thing may succeed when it is tried again. The producer does not say so
 * itself: this is how the codes are described; with the others, something has to be put right first.
 */
const retryableCodes: ReadonlySet<Code> = new Set([
  Code.CANCELLED,
  Code.UNKNOWN,
  Code.DEADLINE_EXCEEDED,
  Code.RESOURCE_EXHAUSTED,
  Code.ABORTED,
  Code.INTERNAL,
  Code.UNAVAILABLE,
  Code.DATA_LOSS,
]);

function checkCode(checks: FieldChecks, code: number): Code | undefined {
  const known = Object.values(Code).find((value) => value === code);
  if (known) {
    return known;
  }
  checks.add('code', `must be a google.rpc.Code other than OK (1 to 16), not ${code}`);
  return undefined;
}

/** To whom the task may not speak it does not exist. */
function requireProducer(caller: Caller, { task }: LedgerEntry): void {
  if (!mayProduce(caller, task)) {
    throw taskNotFound(task.id);
  }
}
