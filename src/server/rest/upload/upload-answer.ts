import { DarkroomError } from '../../../domain/darkroom-error.ts';
import type { FailureReason } from '../../../domain/failure-reason.ts';
import type { TaskId } from '../../../records/ids.ts';
import type { HttpCall } from '../../http/http-endpoints.ts';
import { taskPath } from '../../http/task-path.ts';
import { RestError } from '../rest-error.ts';

/**
 * Statuses of failed uploads, as Glance documents them. What can be gone on with is a conflict with what is stored; what
 * ended the attempt is a bad request.
 */
const statuses: Readonly<Partial<Record<FailureReason, number>>> = {
  STATEMENT_MISMATCH: 409,
  SIZE_UNSTATED: 409,
  REPLAY_MISMATCH: 409,
  OFFSET_MISMATCH: 409,
  WRITER_ACTIVE: 409,
  WRITER_FENCED: 409,
  IMAGE_STATE_INVALID: 409,
  TASK_STATE_INVALID: 409,
  TASK_TERMINAL: 409,
  TASK_EXPIRED: 409,
  SIZE_EXCEEDED: 413,
  STORAGE_FULL: 413,
  // Of bytes that are no image of the declared format.
  FORMAT_MISMATCH: 415,
  FORMAT_UNSAFE: 415,
  SIZE_SHORT: 400,
  DIGEST_MISMATCH: 400,
  COMPRESSION_INVALID: 400,
  STREAM_IDLE: 408,
  STREAM_TOO_SLOW: 408,
  IMAGE_DELETED: 410,
};

/** Of a sender whose image is ACTIVE: whatever differs is other bytes than that has. */
const otherBytes: ReadonlySet<FailureReason> = new Set([
  'REPLAY_MISMATCH',
  'SIZE_EXCEEDED',
  'SIZE_SHORT',
  'DIGEST_MISMATCH',
  'STATEMENT_MISMATCH',
]);

/** What is known of the image when its upload has failed. */
export interface FailedUpload {
  readonly wasActive: boolean;
  readonly isDeleted: boolean;
}

/** A failed upload, with the status that its sender is to see. What is no domain error stays as it is. */
export function uploadFailure(error: unknown, { wasActive, isDeleted }: FailedUpload): unknown {
  if (!(error instanceof DarkroomError) || error instanceof RestError) {
    return error;
  }
  if (isDeleted) {
    return new RestError(410, 'IMAGE_DELETED', 'The image was deleted while it was uploaded.', {
      cause: error,
    });
  }
  if (wasActive && otherBytes.has(error.reason)) {
    return new RestError(
      409,
      error.reason,
      'The image is active, and what was sent are not its bytes, which never change. Make a new image for these.',
      { cause: error },
    );
  }
  const status = statuses[error.reason];
  return status === undefined ? error : RestError.of(error, status);
}

/** Says where the task of an upload can be read, and how far it is, in the answer's headers. */
export function tellStanding(
  { response }: Pick<HttpCall, 'response'>,
  taskId: TaskId,
  committedSize: number | undefined,
  isComplete: boolean,
): void {
  response.setHeader('link', `<${taskPath(taskId)}>; rel="monitor"`);
  if (committedSize !== undefined) {
    response.setHeader('upload-offset', String(committedSize));
    response.setHeader('upload-complete', isComplete ? '?1' : '?0');
  }
}
