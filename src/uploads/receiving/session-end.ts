import { DarkroomError } from '../../domain/darkroom-error.ts';
import { Fault } from '../../records/fault.ts';
import { faultOf } from '../../tasks/ledger/fault-report.ts';
import type { LockedEntry } from '../../tasks/ledger/locked-entry.ts';
import { retryWhileDatabaseIsAway } from '../../database/database-patience.ts';
import type { FinishClaim } from '../publishing/finish-claim.ts';
import { recordFinish } from '../publishing/publish.ts';
import type { UploadParts } from './upload-parts.ts';
import { assertLease, type WriterLease } from '../lease/writer-lease.ts';

/** Errors after which the task cannot go on: what was sent cannot become the image. */
const fatalReasons: ReadonlySet<string> = new Set([
  'SIZE_SHORT',
  'SIZE_EXCEEDED',
  'DIGEST_MISMATCH',
  'COMPRESSION_INVALID',
  'STORED_BYTES_LOST',
  'FORMAT_MISMATCH',
  'FORMAT_UNSAFE',
]);

/** Errors that say that the upload is not the session's any more. */
const lossReasons: ReadonlySet<string> = new Set([
  'WRITER_FENCED',
  'TASK_TERMINAL',
  'TASK_NOT_FOUND',
  'TASK_EXPIRED',
]);

/** Whether an error says that the upload is not the session's any more: it has nothing to record then. */
export function isLoss(error: unknown): boolean {
  return error instanceof DarkroomError && lossReasons.has(error.reason);
}

/** Decides what an error means for a task, and records it: the writer is detached then, or the task ended. */
export type SettleEnd = (entry: LockedEntry, error: DarkroomError) => Promise<void> | void;

/** Whether an error says that what was sent cannot become the image. */
export function isFatal(error: DarkroomError): boolean {
  return fatalReasons.has(error.reason);
}

/** Of an upload: its client may come again, unless what it sent cannot become the image. */
export function settleUpload(entry: LockedEntry, error: DarkroomError): void {
  if (isFatal(error)) {
    entry.fail(faultOf(error));
  } else {
    entry.survive(faultOf(error));
    entry.detachWriter();
  }
}

/** How far a session was when it ended. */
export interface SessionEnd {
  readonly committedSize: number;
  /** What becomes of the task. */
  readonly settle: SettleEnd;
  /** Set while the whole was being checked. */
  readonly claim: FinishClaim | undefined;
}

/**
 * Records on the task why its upload ended, and detaches the writer, whose writes have all ended; unless
 * the upload is not the lease's any more. Never throws; answers the error to tell the client.
 */
export async function recordEnd(
  parts: UploadParts,
  lease: WriterLease,
  error: DarkroomError,
  end: SessionEnd,
): Promise<DarkroomError> {
  const told = isLoss(error) ? error : await tryToRecord(parts, lease, error, end);
  return told.with({ committed_size: String(end.committedSize), task_id: lease.taskId });
}

async function tryToRecord(
  parts: UploadParts,
  lease: WriterLease,
  error: DarkroomError,
  end: SessionEnd,
): Promise<DarkroomError> {
  let isRepeated = false;
  try {
    await retryWhileDatabaseIsAway(() => {
      const mayBeDone = isRepeated;
      isRepeated = true;
      return parts.ledger.change(lease.taskId, undefined, async (entry) => {
        // The answer to the first try may have been lost with the database's connection.
        if (!mayBeDone || !(await isLastFault(entry, error))) {
          await record(entry, lease, error, end);
        }
      });
    });
  } catch (failure) {
    if (failure instanceof DarkroomError && isLoss(failure)) {
      return failure;
    }
    parts.logger.warn(
      { err: failure, fault: error, taskId: lease.taskId },
      'a fault could not be recorded; the next repair detaches the writer',
    );
  }
  return error;
}

async function record(
  entry: LockedEntry,
  lease: WriterLease,
  error: DarkroomError,
  { claim, settle }: SessionEnd,
): Promise<void> {
  assertLease(entry, lease);
  if (claim) {
    recordFinish(entry, claim);
  }
  await settle(entry, error);
}

/** Of a message; its end may be cut off, or tell when the next try comes. */
const comparedCharacters = 512;

async function isLastFault({ em, task }: LockedEntry, error: DarkroomError): Promise<boolean> {
  const fault = task.lastFaultId ? await em.findOne(Fault, { id: task.lastFaultId }) : null;
  return (
    fault?.reason === error.reason &&
    fault.message.startsWith(error.message.slice(0, comparedCharacters))
  );
}
