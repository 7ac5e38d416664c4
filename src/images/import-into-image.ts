import { readOwnImage } from '../access/find-image.ts';
import type { Caller } from '../access/caller.ts';
import type { Database } from '../database/database.ts';
import { withQuotaErrors } from '../database/quota-exceeded.ts';
import { FieldChecks } from '../domain/field-checks.ts';
import type { CopyFromRequest } from '../imports/copy-from-request.ts';
import { parseOrder, placeOrder } from '../imports/new-order.ts';
import type { ReachPolicy } from '../imports/reach-policy.ts';
import type { ImageId } from '../records/ids.ts';
import { requireFormats } from '../records/image-formats.ts';
import type { Task } from '../records/task.ts';
import type { SecretKeys } from '../secrets/secret-keys.ts';
import type { RetryParts } from '../tasks/control/retry-task.ts';
import { beginNextKind } from './next-attempt.ts';
import { latestTask } from './upload-target.ts';

/** What it takes to import into an image that is there. */
export interface ImportIntoParts extends RetryParts {
  readonly database: Database;
  /** What imports may reach. */
  readonly reach: ReachPolicy;
  /** What imports send to their sources is encrypted by. */
  readonly secretKeys: SecretKeys;
  readonly maxImageBytes: number;
}

/**
 * Has the service fetch the bytes of an image that is there and waits for them. What of them came before otherwise is given
 * up.
 *
 * @throws DarkroomError FIELD_INVALID, SOURCE_FORBIDDEN, SOURCE_SCHEME_UNSUPPORTED; IMAGE_NOT_FOUND, for a deleted one too,
 *   IMAGE_NOT_OWNED, IMAGE_STATE_INVALID, FORMAT_NOT_SET, QUOTA_EXCEEDED; WRITER_ACTIVE while somebody sends it, or it is fetched.
 */
export async function importIntoImage(
  parts: ImportIntoParts,
  caller: Caller,
  imageId: ImageId,
  request: CopyFromRequest,
): Promise<Task> {
  const { database, ledger, reach, secretKeys, maxImageBytes } = parts;
  const checks = new FieldChecks();
  const { order } = checks.settle({ order: parseOrder(checks, request, maxImageBytes, reach) });
  const image = await readOwnImage(database, caller, imageId);
  const latest = await latestTask(database, image);
  requireFormats(image);
  const kind = {
    type: 'IMPORT',
    expectedSize: request.totalSize ?? null,
    expectedSha256: request.sha256 ?? null,
    expectedSha512: request.sha512 ?? null,
    source: order.name,
    decompress: request.decompress ?? false,
  } as const;
  const { task, hasReleasedBytes } = await withQuotaErrors(
    ledger.change(latest.id, caller, async (entry) => {
      const begun = await beginNextKind(entry, caller, kind, 'for the image is imported now');
      await placeOrder(entry.em, secretKeys, caller, imageId, order, entry.now);
      return begun;
    }),
  );
  if (hasReleasedBytes) {
    parts.onBlobsReleased();
  }
  parts.onImportDue();
  return task;
}
