import type { UploadImageRequest_Finish } from '../../../gen/darkroom/v1/image_service_pb.ts';
import { invalidField } from '../../domain/darkroom-error.ts';
import type { FinishClaim } from '../../uploads/publishing/finish-claim.ts';

/** What the messages of both roads of an upload, the stream and the unary calls, have in common. */

/** What a finish claims. @throws DarkroomError FIELD_INVALID that names a field below `path`. */
export function claimOf(finish: UploadImageRequest_Finish, path: string): FinishClaim {
  const totalSize = Number(finish.totalSize);
  if (!Number.isSafeInteger(totalSize) || totalSize < 0) {
    throw invalidField(`${path}.total_size`, 'must be 0 or more bytes, below 2^53');
  }
  if (finish.sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(finish.sha256)) {
    throw invalidField(`${path}.sha256`, 'must be 64 hex digits');
  }
  return { totalSize, sha256: finish.sha256?.toLowerCase() };
}

/** A number that a message may leave out. */
export function numberIfSet(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}
