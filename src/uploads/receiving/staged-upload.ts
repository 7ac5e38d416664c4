import type { Caller } from '../../access/caller.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { TaskId } from '../../records/ids.ts';
import type { Task } from '../../records/task.ts';
import { noFacts } from '../../tasks/ledger/ledger-facts.ts';
import type { TaskLedger } from '../../tasks/ledger/task-ledger.ts';
import { fencedError } from '../lease/writer-lease.ts';
import type { FinishClaim } from '../publishing/finish-claim.ts';
import { recordFinish } from '../publishing/publish.ts';
import type { UploadOutcome } from './upload-calls.ts';

/**
 * Records that the last byte of what is staged has come: until then nothing can make an image of it.
 *
 * @throws DarkroomError WRITER_FENCED if somebody else has the upload by now.
 */
export async function markStaged(
  ledger: TaskLedger,
  caller: Caller,
  { taskId, writerEpoch }: UploadOutcome,
  { totalSize, sha256 }: FinishClaim,
): Promise<void> {
  await ledger.changeAtOnce(taskId, caller, noFacts, (entry) => {
    const { task } = entry;
    if (task.writerEpoch !== writerEpoch || task.committedSize !== totalSize) {
      throw fencedError(taskId, writerEpoch, task.writerEpoch);
    }
    task.stagedSize = totalSize;
    task.finishSha256 = sha256 ?? task.finishSha256 ?? null;
    entry.signOfLife();
  });
}

/**
 * Takes staged bytes for the whole image: from here on the task completes by itself, whatever becomes of this process.
 * Answers what is to be completed.
 *
 * @param requestId of the call, which becomes the task's where none made it.
 * @throws DarkroomError TASK_NOT_FOUND, TASK_TERMINAL, TASK_EXPIRED; IMAGE_STATE_INVALID where not all is staged, WRITER_ACTIVE
 *   while it is being staged.
 */
export async function importStaged(
  ledger: TaskLedger,
  caller: Caller,
  taskId: TaskId,
  requestId: string,
): Promise<FinishClaim> {
  return ledger.change(taskId, caller, (entry) => {
    const { task } = entry;
    if (task.writerProcessId != null && task.finishSize == null) {
      throw new DarkroomError(
        'WRITER_ACTIVE',
        `The image is still being staged by ${task.writerPeer ?? 'another stream'}, with ${task.committedSize} bytes stored ` +
          'so far. Import it when that has ended.',
      );
    }
    if (task.stagedSize == null) {
      throw notStaged(task);
    }
    const claim = { totalSize: task.stagedSize, sha256: task.finishSha256 ?? undefined };
    // A retry of one that was staged and not imported in time.
    if (task.state === 'PENDING') {
      entry.start('RECEIVING', 'all bytes are staged');
    }
    task.requestId ??= requestId;
    recordFinish(entry, claim);
    return claim;
  });
}

function notStaged({ isStaging, committedSize }: Task): DarkroomError {
  return new DarkroomError(
    'IMAGE_STATE_INVALID',
    isStaging && committedSize > 0
      ? `Only ${committedSize} bytes of the image are staged: the upload to the stage broke off before its end. Stage the ` +
          'image again, or the rest of it with Content-Range, and import it then.'
      : 'Nothing of the image is staged. Stage it first, by PUT to its place /stage.',
  );
}
