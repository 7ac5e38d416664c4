import { DarkroomError } from '../domain/darkroom-error.ts';
import type { SegmentId } from '../records/ids.ts';

const outOfRoom = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** Room is made by deletions or by operators: soon enough to ask again, not so soon as to hammer. */
const fullRetryDelayMs = 10_000;
const unavailableRetryDelayMs = 1000;

/** The domain error for a failed operation of the operating system on the store. */
export function storageError(cause: unknown, doing: string): DarkroomError {
  if (cause instanceof DarkroomError) {
    return cause;
  }
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
  if (outOfRoom.has(errno)) {
    return new DarkroomError(
      'STORAGE_FULL',
      `The image store has no room left (${errno} while ${doing}). The upload can be resumed once there is room.`,
      { cause, retryDelayMs: fullRetryDelayMs },
    );
  }
  return new DarkroomError(
    'STORAGE_UNAVAILABLE',
    `The image store failed (${errno} while ${doing}). Try again; if it stays so, an operator must look at it.`,
    { cause, retryDelayMs: unavailableRetryDelayMs },
  );
}

/** The domain error for committed bytes that the store does not hold any more. */
export function storedBytesLost(id: SegmentId, held: number, expected: number): DarkroomError {
  return new DarkroomError(
    'STORED_BYTES_LOST',
    `The image store holds ${held} of ${expected} bytes of segment ${id}: stored bytes were lost, the image must be uploaded anew.`,
  );
}
