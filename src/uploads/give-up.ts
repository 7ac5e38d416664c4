import { DarkroomError } from '../domain/darkroom-error.ts';
import { faultOf } from '../tasks/fault-report.ts';
import { retryWhileDatabaseIsAway } from './database-patience.ts';
import { assertLease } from './publish.ts';
import type { UploadParts } from './upload-parts.ts';
import type { WriterLease } from './writer-lease.ts';

/** Errors after which the task cannot go on: what was sent cannot become the image. */
const fatalReasons: ReadonlySet<string> = new Set([
  'SIZE_SHORT',
  'SIZE_EXCEEDED',
  'DIGEST_MISMATCH',
  'STORED_BYTES_LOST',
]);

/** Errors that say that the upload is not this session's any more: it has nothing to record. */
const lossReasons: ReadonlySet<string> = new Set([
  'WRITER_FENCED',
  'TASK_TERMINAL',
  'TASK_NOT_FOUND',
  'TASK_EXPIRED',
]);

/** Whether an error says that the upload is not the writer's any more. */
export function isLoss(error: unknown): boolean {
  return error instanceof DarkroomError && lossReasons.has(error.reason);
}

/**
 * Records on the task why its upload ended, and detaches the writer, unless the upload is not the
 * lease's any more. Never throws; answers the error to tell the client.
 */
export async function giveUp(
  parts: UploadParts,
  lease: WriterLease,
  error: DarkroomError,
  committedSize = lease.committedSize,
): Promise<DarkroomError> {
  let told = error;
  if (!isLoss(error)) {
    try {
      await retryWhileDatabaseIsAway(() => recordFault(parts, lease, error));
    } catch (failure) {
      if (failure instanceof DarkroomError && isLoss(failure)) {
        told = failure;
      } else {
        parts.logger.warn(
          { err: failure, taskId: lease.taskId },
          'a fault could not be recorded; the next repair does it',
        );
      }
    }
  }
  return told.with({ committed_size: String(committedSize), task_id: lease.taskId });
}

async function recordFault(
  parts: UploadParts,
  lease: WriterLease,
  error: DarkroomError,
): Promise<void> {
  await parts.ledger.change(lease.taskId, undefined, (entry) => {
    assertLease(entry, lease);
    if (fatalReasons.has(error.reason)) {
      entry.fail(faultOf(error));
    } else {
      entry.survive(faultOf(error));
      entry.detachWriter();
    }
  });
}
