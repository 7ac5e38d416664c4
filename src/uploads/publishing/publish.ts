import { DarkroomError } from '../../domain/darkroom-error.ts';
import { ImportOrder } from '../../records/import-order.ts';
import { Blob, BlobSegment } from '../../records/blob.ts';
import type { BlobId, SegmentId } from '../../records/ids.ts';
import type { Compression } from '../../records/image.ts';
import type { LedgerEntry } from '../../tasks/ledger/ledger-entry.ts';
import { faultOf } from '../../tasks/ledger/fault-report.ts';
import type { TaskLedger } from '../../tasks/ledger/task-ledger.ts';
import type { FinishClaim } from './finish-claim.ts';
import type { FormatFinding } from './format-check.ts';
import { assertLease, type WriterLease } from '../lease/writer-lease.ts';

/** The whole of an image, verified. */
export interface VerifiedWhole {
  /** Bytes. */
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly format: FormatFinding;
  /** Where the image is what was inside of the bytes that came. */
  readonly unpacked?: UnpackedBlob;
}

/** The blob into which another one was unpacked, and what is kept of that one. */
export interface UnpackedBlob {
  readonly blobId: BlobId;
  readonly segmentId: SegmentId;
  /** Bytes that take up room in the store. */
  readonly storedBytes: number;
  readonly packed: { readonly format: Compression; readonly size: number; readonly sha256: string };
}

/**
 * Makes a verified blob its image's: image ACTIVE and task SUCCEEDED in one transaction. The bytes are
 * completed in the store before, and do not move, so a crash on either side of the transaction leaves nothing half.
 *
 * Harmless to repeat.
 *
 * @throws DarkroomError TASK_TERMINAL, or WRITER_FENCED.
 */
export async function publish(
  ledger: TaskLedger,
  lease: WriterLease,
  claim: FinishClaim,
  { size, sha256, format, unpacked }: VerifiedWhole,
): Promise<void> {
  await ledger.change(lease.taskId, undefined, async (entry) => {
    const { em, image, task, now } = entry;
    const isDone =
      task.state === 'SUCCEEDED' && image.sizeBytes === size && image.sha256 === sha256;
    if (isDone) {
      // The answer to the first try was lost with the database's connection.
      return;
    }
    assertLease(entry, lease);
    if (unpacked) {
      await exchangeBlobs(entry, lease.blobId, unpacked, size);
    }
    const blobId = unpacked?.blobId ?? lease.blobId;
    const segments = await em.find(
      BlobSegment,
      { blobId, length: { $gt: 0 } },
      { orderBy: { startOffset: 'asc' } },
    );
    assertWhole(segments, size);
    await em.nativeUpdate(Blob, { id: blobId }, { state: 'PUBLISHED', updateTime: now });
    image.state = 'ACTIVE';
    image.outlook = 'AVAILABLE';
    image.sizeBytes = size;
    image.virtualSizeBytes = format.virtualSize ?? null;
    image.sha256 = sha256;
    image.blobId = blobId;
    entry.touchImage();
    task.blobId = null;
    if (task.type === 'IMPORT') {
      // With the secrets that it holds.
      await em.nativeDelete(ImportOrder, { imageId: image.id });
    }
    recordFinish(entry, claim);
    if (format.refusal) {
      entry.survive(faultOf(format.refusal));
    }
    entry.enterPhase('PUBLISHING', 'size and digest agree');
    const origin = unpacked
      ? `, unpacked from ${unpacked.packed.size} bytes of ${unpacked.packed.format}`
      : '';
    entry.succeed(`The image is ACTIVE with ${size} bytes, sha256 ${sha256}${origin}`);
  });
}

/** What was unpacked takes the place of what came, of which size and digest are kept. */
async function exchangeBlobs(
  { em, image, now }: LedgerEntry,
  packedBlobId: BlobId,
  { blobId, segmentId, storedBytes, packed }: UnpackedBlob,
  size: number,
): Promise<void> {
  await em.nativeUpdate(BlobSegment, { id: segmentId, blobId }, { length: size, storedBytes });
  // Nobody may have taken it for given up: whoever does so fences its writer first.
  const owned = await em.nativeUpdate(
    Blob,
    { id: blobId, state: 'STAGED' },
    { unpackingTaskId: null, unpackingEpoch: null },
  );
  if (owned !== 1) {
    throw new DarkroomError('INTERNAL', `Blob ${blobId}, of what was unpacked, was given up.`);
  }
  await em.nativeUpdate(Blob, { id: packedBlobId }, { state: 'DELETING', updateTime: now });
  image.packedFormat = packed.format;
  image.packedSizeBytes = packed.size;
  image.packedSha256 = packed.sha256;
}

/** Records that a finish was received, and that what came is being checked. */
export function recordFinish(entry: LedgerEntry, claim: FinishClaim): void {
  const { task } = entry;
  task.finishSize = claim.totalSize;
  task.finishSha256 = claim.sha256 ?? null;
  // Only the finish itself is a sign of life: a checking that fails again and again must expire.
  if (task.phase !== 'VERIFYING' && task.phase !== 'UNPACKING') {
    entry.enterPhase('VERIFYING', `finish received with ${claim.totalSize} bytes`);
    entry.signOfLife();
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
