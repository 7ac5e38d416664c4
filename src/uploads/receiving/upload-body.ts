import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { TaskId } from '../../records/ids.ts';
import type { UploadTerms } from '../lease/upload-terms.ts';
import type { WriterLease } from '../lease/writer-lease.ts';
import type { FinishClaim } from '../publishing/finish-claim.ts';
import type { ChunkFrame } from './upload-frame.ts';

export type { StatedWhole, UploadTerms } from '../lease/upload-terms.ts';

/** A stream without frames, such as the body of a PUT: an image's bytes, or a part of them. */
export interface UploadBody {
  readonly taskId: TaskId;
  /** The epoch that `UploadService.resume` answered with; undefined to take the upload only if nobody else has it. */
  readonly writerEpoch: number | undefined;
  readonly terms: UploadTerms;
  /** Where in the image its first byte belongs. */
  readonly offset: number;
  /** How many bytes it was said to have itself; undefined where that is not known before its end. */
  readonly length: number | undefined;
  /** Whether its end is the image's. */
  readonly isLast: boolean;
  /** Ends where the body has come to its proper end; rejects with a DarkroomError where it breaks. */
  readonly chunks: AsyncIterator<ChunkFrame>;
  /** The sha256 of the whole image, lower-case hex, where the sender said it only after its last byte. */
  readonly sha256AtEnd: () => string | undefined;
}

/** What the end of a body comes to. */
export type BodyEnd =
  /** All that the image has was sent. */
  | ({ readonly kind: 'whole' } & FinishClaim)
  /** More is to come. */
  | { readonly kind: 'part' }
  /** Nothing was sent of an image that is ACTIVE by the same upload. */
  | { readonly kind: 'nothing' };

/**
 * Holds the end of a body against what its sender said of it, and against what is stored.
 *
 * A body that has ended as HTTP wants it may still not be the whole: a sender that goes on in the middle of its source ends
 * it just so. What contradicts ends the stream, and not the task: it can be gone on with.
 *
 * @param end of the body in the image, in bytes.
 * @param lease undefined where the upload is done, and what was sent was compared.
 * @throws DarkroomError STATEMENT_MISMATCH; SIZE_UNSTATED where nothing came, of which nobody says that it is all.
 */
export function endOfBody(body: UploadBody, end: number, lease: WriterLease | undefined): BodyEnd {
  const { offset, length, isLast, terms } = body;
  if (length !== undefined && end - offset !== length) {
    throw mismatch(`The body has ${end - offset} bytes, and was said to have ${length}.`);
  }
  if (!isLast) {
    return { kind: 'part' };
  }
  const { size, sha256 } = terms.stated;
  if (size !== undefined && end < size) {
    throw mismatch(`The image was said to have ${size} bytes, and the body ended after ${end}.`);
  }
  if (lease === undefined) {
    return end === 0 && isUnsaid(body) ? { kind: 'nothing' } : whole(end, body, sha256);
  }
  if (end === 0 && isUnsaid(body)) {
    throw new DarkroomError(
      'SIZE_UNSTATED',
      'The body is empty, and nothing says that the image is: its source may have been read before. Send it from its first ' +
        'byte, or say that it has none (Content-Length: 0).',
    );
  }
  if (end < lease.committedSize) {
    throw mismatch(
      `The body ended after ${end} bytes, and ${lease.committedSize} of the image are stored already.`,
    );
  }
  if (lease.expectedSize !== null && end < lease.expectedSize) {
    throw mismatch(
      `The image was said before to have ${lease.expectedSize} bytes, and the body ended after ${end}.`,
    );
  }
  return whole(end, body, sha256);
}

function whole(totalSize: number, body: UploadBody, sha256: string | undefined): BodyEnd {
  return { kind: 'whole', totalSize, sha256: sha256 ?? body.sha256AtEnd() };
}

/** Whether the sender said nothing at all of the image, not even that it is empty. */
function isUnsaid({ length, terms: { stated } }: UploadBody): boolean {
  return (length ?? stated.size ?? stated.sha256 ?? stated.sha512) === undefined;
}

function mismatch(what: string): DarkroomError {
  return new DarkroomError(
    'STATEMENT_MISMATCH',
    `${what} What came is kept, and nothing was made of it: send the whole image again, or the rest of it with Content-Range.`,
  );
}
