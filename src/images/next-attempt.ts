import type { Caller } from '../access/caller.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { TaskId } from '../records/ids.ts';
import { Blob } from '../records/blob.ts';
import { ImportOrder } from '../records/import-order.ts';
import { requireFormats } from '../records/image-formats.ts';
import type { Task } from '../records/task.ts';
import type { LockedEntry } from '../tasks/ledger/locked-entry.ts';
import type { NewTask } from '../tasks/ledger/open-task.ts';
import { isTerminal } from '../tasks/ledger/state-machine.ts';
import type { RetryParts } from '../tasks/control/retry-task.ts';

/** What of a task is another in an attempt of another kind. */
export type NextKind = Pick<
  NewTask,
  'type' | 'expectedSize' | 'expectedSha256' | 'expectedSha512' | 'source' | 'decompress'
>;

/**
 * Ends an image's task, if it has not ended, and begins its next attempt, of another kind: by an import in place of an upload,
 * or the other way round. Bytes that came before are given up, and so is what was to be fetched.
 *
 * @param cause why, for people: it completes "Cancelled by user ann, …".
 * @throws DarkroomError IMAGE_STATE_INVALID, TASK_STATE_INVALID; FORMAT_NOT_SET for an import; WRITER_ACTIVE while somebody writes.
 */
export async function beginNextKind(
  entry: LockedEntry,
  caller: Caller,
  kind: NextKind,
  cause: string,
): Promise<{ readonly task: Task; readonly hasReleasedBytes: boolean }> {
  const { em, image, task, now } = entry;
  if (image.state !== 'QUEUED') {
    throw new DarkroomError(
      'IMAGE_STATE_INVALID',
      `Image ${image.id} is ${image.state}: only a QUEUED one can still get its bytes. Create a new image.`,
      { metadata: { image_id: image.id, state: image.state } },
    );
  }
  if (image.latestTaskId !== task.id) {
    throw new DarkroomError(
      'TASK_STATE_INVALID',
      `Another attempt at image ${image.id} has just begun: task ${image.latestTaskId}.`,
      { metadata: { image_id: image.id, task_id: image.latestTaskId ?? '' } },
    );
  }
  if (kind.type === 'IMPORT') {
    requireFormats(image);
  }
  if (!isTerminal(task.state)) {
    if (task.writerProcessId != null) {
      throw new DarkroomError(
        'WRITER_ACTIVE',
        `Image ${image.id} is just getting its bytes by ${task.writerPeer ?? 'another stream'}. Wait for it, or cancel task ${task.id}.`,
        { metadata: { image_id: image.id, task_id: task.id } },
      );
    }
    entry.cancel(`Cancelled by user ${caller.userId}, ${cause}`);
    // Before the next one is inserted: an image has one live task.
    await em.flush();
  }
  const { blobId } = task;
  const next = entry.retry(null, caller, false, `By user ${caller.userId}, ${cause}`, kind);
  entry.touchImage();
  task.blobId = null;
  if (blobId) {
    await em.nativeUpdate(Blob, { id: blobId }, { state: 'DELETING', updateTime: now });
  }
  await em.nativeDelete(ImportOrder, { imageId: image.id });
  return { task: next, hasReleasedBytes: Boolean(blobId) };
}

/**
 * Begins an upload of an image whose import has ended badly.
 *
 * @throws as `beginNextKind`.
 */
export async function uploadAfterImport(
  { ledger, onBlobsReleased }: RetryParts,
  caller: Caller,
  taskId: TaskId,
): Promise<Task> {
  const upload: NextKind = {
    type: 'UPLOAD',
    expectedSize: null,
    expectedSha256: null,
    expectedSha512: null,
    source: null,
    decompress: false,
  };
  const { task, hasReleasedBytes } = await ledger.change(taskId, caller, (entry) =>
    beginNextKind(entry, caller, upload, 'for the image is uploaded now'),
  );
  if (hasReleasedBytes) {
    onBlobsReleased();
  }
  return task;
}
