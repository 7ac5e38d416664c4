import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { Task } from '../../records/task.ts';

/** What a sender says of the whole image before its first byte. */
export interface StatedWhole {
  /** Bytes. */
  readonly size: number | undefined;
  /** Lower-case hex. */
  readonly sha256: string | undefined;
  readonly sha512: string | undefined;
}

/**
 * On what terms a sender has an upload whose stream knows no frames: it says nothing on its way but bytes, and its end
 * stands for the finish.
 */
export interface UploadTerms {
  readonly stated: StatedWhole;
  /**
   * Whether the stream says of itself where in the image it begins. One that does not is the image from its first byte, or
   * so its sender believes: one that was broken off and comes again may go on in the middle.
   */
  readonly isPlaced: boolean;
  /** What becomes of the bytes at the end: the image, or what an import may make the image later. */
  readonly purpose: 'publish' | 'stage';
}

/** How many bytes the image of a task was said to have, by whom ever; null where nobody did. */
export function sizeSaid(
  task: Pick<Task, 'expectedSize' | 'announcedSize' | 'stagedSize' | 'finishSize'>,
): number | null {
  return task.expectedSize ?? task.stagedSize ?? task.finishSize ?? task.announcedSize ?? null;
}

/**
 * Holds the terms against what was said before, and notes what the first sender says.
 *
 * A stream that does not say where it begins, after one that broke off, is taken only where something tells whether it is
 * whole: else the rest of an image could become the image. A compute service that sends a half-read file again is such a
 * sender.
 *
 * @param hasBrokenOff whether a stream of the image ended without its end.
 * @throws DarkroomError STATEMENT_MISMATCH, SIZE_UNSTATED, IMAGE_STATE_INVALID.
 */
export function agreeOnTerms(task: Task, terms: UploadTerms, hasBrokenOff: boolean): void {
  const { stated, isPlaced, purpose } = terms;
  if (purpose === 'publish' && task.stagedSize != null) {
    throw new DarkroomError(
      'IMAGE_STATE_INVALID',
      `The ${task.stagedSize} bytes of the image are staged: import them by the method glance-direct, or stage them again.`,
    );
  }
  const said = sizeSaid(task);
  if (said !== null && stated.size !== undefined && said !== stated.size) {
    throw new DarkroomError(
      'STATEMENT_MISMATCH',
      `This upload says that the image has ${stated.size} bytes, and it was said before to have ${said}. Nothing was ` +
        'taken. Send the image that was begun, or make a new one.',
      { metadata: { size: String(said), committed_size: String(task.committedSize) } },
    );
  }
  const isTold = stated.size ?? said ?? stated.sha256 ?? stated.sha512 ?? task.expectedSha256;
  if (hasBrokenOff && !isPlaced && isTold == null) {
    throw new DarkroomError(
      'SIZE_UNSTATED',
      'An upload of this image broke off before, and nothing tells whether this one is the image from its first byte on ' +
        'or the rest of it. Nothing was taken. Say how many bytes the image has (Content-Length or ' +
        'x-openstack-image-size), its digest (Repr-Digest), or where this part belongs (Content-Range).',
      { metadata: { committed_size: String(task.committedSize) } },
    );
  }
  if (!hasBrokenOff) {
    // Later ones may send anything, and find out only by the comparing.
    task.announcedSize = stated.size ?? task.announcedSize ?? null;
  }
  task.isStaging = purpose === 'stage';
}
