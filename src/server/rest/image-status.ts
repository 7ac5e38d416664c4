import type { Image } from '../../records/image.ts';
import type { Task } from '../../records/task.ts';

/** Glance's words for how far an image is, as far as they occur here. */
export type ImageStatus =
  'queued' | 'saving' | 'uploading' | 'importing' | 'active' | 'deactivated' | 'deleted';

/**
 * Glance's word for how an image and its newest task are together. "Queued" is also an image whose upload broke off or
 * failed: it can be tried again, and what went wrong is told beside it.
 *
 * @param task undefined where the image has its bytes, or is deleted.
 */
export function imageStatus(
  { state, deactivated }: Pick<Image, 'state' | 'deactivated'>,
  task: Readonly<Task> | undefined,
): ImageStatus {
  switch (state) {
    case 'ACTIVE':
      return deactivated ? 'deactivated' : 'active';
    case 'DELETED':
      return 'deleted';
    case 'QUEUED':
      return task === undefined || (task.state !== 'PENDING' && task.state !== 'RUNNING')
        ? 'queued'
        : statusOfLive(task);
  }
}

function statusOfLive(task: Readonly<Task>): ImageStatus {
  if (task.type === 'IMPORT') {
    return 'importing';
  }
  const isBeingSent = task.writerProcessId != null;
  const isBeingChecked = task.finishSize != null;
  if (task.isStaging) {
    return isBeingChecked
      ? 'importing'
      : isBeingSent || task.stagedSize != null
        ? 'uploading'
        : 'queued';
  }
  return isBeingSent || isBeingChecked ? 'saving' : 'queued';
}
