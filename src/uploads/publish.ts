import { DarkroomError } from '../domain/darkroom-error.ts';
import type { Image } from '../images/image.ts';
import { Blob, BlobSegment } from '../storage/blob.ts';
import type { LedgerEntry } from '../tasks/ledger-entry.ts';
import type { TaskLedger } from '../tasks/task-ledger.ts';
import type { Task } from '../tasks/task.ts';
import type { WriterLease } from './writer-lease.ts';

/** An image that is ACTIVE now, and its task. */
export interface Published {
  readonly image: Image;
  readonly task: Task;
}

/**
 * Makes a verified blob its image's: image ACTIVE and task SUCCEEDED in one transaction. The bytes are
 * sealed before, and do not move, so a crash on either side of the transaction leaves nothing half.
 *
 * Harmless to repeat.
 *
 * @throws DarkroomError TASK_TERMINAL, or WRITER_FENCED.
 */
export async function publish(
  ledger: TaskLedger,
  lease: WriterLease,
  size: number,
  sha256: string,
): Promise<Published> {
  return ledger.change(lease.taskId, undefined, async (entry) => {
    const { em, image, task, now } = entry;
    if (task.state === 'SUCCEEDED' && image.blobId === lease.blobId) {
      // The answer to the first try was lost with the database's connection.
      return { image, task };
    }
    assertLease(entry, lease);
    const segments = await em.find(
      BlobSegment,
      { blobId: lease.blobId, length: { $gt: 0 } },
      { orderBy: { startOffset: 'asc' } },
    );
    assertWhole(segments, size);
    const blob = await em.findOneOrFail(Blob, { id: lease.blobId });
    blob.state = 'PUBLISHED';
    blob.updateTime = now;
    image.state = 'ACTIVE';
    image.outlook = 'AVAILABLE';
    image.sizeBytes = size;
    image.sha256 = sha256;
    image.blobId = blob.id;
    entry.touchImage();
    task.blobId = null;
    entry.succeed(`The image is ACTIVE with ${size} bytes, sha256 ${sha256}`);
    return { image, task };
  });
}

/** @throws DarkroomError WRITER_FENCED unless the locked task still belongs to the lease. */
export function assertLease(entry: LedgerEntry, lease: WriterLease): void {
  const { task } = entry;
  if (task.writerEpoch !== lease.epoch || task.writerProcessId !== lease.processId) {
    // A terminal task has no writer: its own error tells more.
    if (task.state === 'PENDING' || task.state === 'RUNNING') {
      throw new DarkroomError(
        'WRITER_FENCED',
        `The upload of task ${task.id} was given to another writer: epoch ${lease.epoch} is over.`,
        { metadata: { writer_epoch: String(task.writerEpoch) } },
      );
    }
  }
}

/** Rule 7, once more, at the last moment: an image is its segments without gaps, and no other size. */
function assertWhole(segments: readonly BlobSegment[], size: number): void {
  let end = 0;
  for (const segment of segments) {
    if (segment.startOffset !== end) {
      break;
    }
    end += segment.length;
  }
  if (end !== size) {
    throw new DarkroomError(
      'INTERNAL',
      `The segments end at ${end}, not at the image's ${size} bytes.`,
    );
  }
}
