import { DarkroomError } from '../../domain/darkroom-error.ts';
import { ImportOrder } from '../../records/import-order.ts';
import { Blob, BlobSegment } from '../../records/blob.ts';
import type { BlobId, SegmentId } from '../../records/ids.ts';
import type { Compression, Image } from '../../records/image.ts';
import type { Task } from '../../records/task.ts';
import type { LedgerEntry } from '../../tasks/ledger/ledger-entry.ts';
import type { LockedEntry } from '../../tasks/ledger/locked-entry.ts';
import { faultOf } from '../../tasks/ledger/fault-report.ts';
import type { TaskLedger } from '../../tasks/ledger/task-ledger.ts';
import type { FinishClaim } from './finish-claim.ts';
import type { FormatFinding } from './format-check.ts';
import { segmentFacts } from '../lease/attach-facts.ts';
import { assertLease, type UploadProgress, type WriterLease } from '../lease/writer-lease.ts';

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
 * What a client sent is published at once, together with the progress that was not recorded yet; an import and
 * what was unpacked change more rows, and are published under the locks.
 *
 * Harmless to repeat.
 *
 * @param progress of bytes that are durable; undefined if all of it is recorded.
 * @throws DarkroomError TASK_TERMINAL, or WRITER_FENCED.
 */
export async function publish(
  ledger: TaskLedger,
  lease: WriterLease,
  claim: FinishClaim,
  whole: VerifiedWhole,
  progress: UploadProgress | undefined,
): Promise<PublishedImage> {
  const { taskId } = lease;
  const { unpacked } = whole;
  if (isPublishedAtOnce(lease)) {
    return ledger.changeAtOnce(taskId, undefined, segmentFacts, (entry, segments) => {
      if (!isDone(entry, whole)) {
        assertLease(entry, lease);
        const grown = progress ? recordProgress(entry, lease, segments, progress) : segments;
        entry.rows.setBlobState(lease.blobId, 'PUBLISHED');
        becomeActive(entry, claim, whole, lease.blobId, grown);
      }
      return { image: entry.image, task: entry.task };
    });
  }
  return ledger.change(taskId, undefined, async (entry) => {
    const { em, image, task } = entry;
    if (!isDone(entry, whole)) {
      assertLease(entry, lease);
      if (unpacked) {
        await exchangeBlobs(entry, lease.blobId, unpacked, whole.size);
      }
      const blobId = unpacked?.blobId ?? lease.blobId;
      const segments = await em.find(BlobSegment, { blobId }, { orderBy: { startOffset: 'asc' } });
      entry.rows.setBlobState(blobId, 'PUBLISHED');
      if (task.type === 'IMPORT') {
        // With the secrets that it holds.
        await em.nativeDelete(ImportOrder, { imageId: image.id });
      }
      becomeActive(entry, claim, whole, blobId, segments);
    }
    return { image, task };
  });
}

/** An image that is ACTIVE, and the task that made it so. */
export interface PublishedImage {
  readonly image: Readonly<Image>;
  readonly task: Readonly<Task>;
}

/** Whether `publish` takes progress that was not recorded before. */
export function isPublishedAtOnce({ decompress, taskType }: WriterLease): boolean {
  return !decompress && taskType !== 'IMPORT';
}

/** Whether it is published: the answer to the first try was lost with the database's connection. */
function isDone({ image, task }: LedgerEntry, { size, sha256 }: VerifiedWhole): boolean {
  return task.state === 'SUCCEEDED' && image.sizeBytes === size && image.sha256 === sha256;
}

/** Records that bytes are durable, as `commitProgress` does. Answers the segments as they are then. */
function recordProgress(
  { task, rows }: LedgerEntry,
  { segment: { id } }: WriterLease,
  segments: readonly BlobSegment[],
  progress: UploadProgress,
): BlobSegment[] {
  task.committedSize = progress.committedSize;
  task.storedBytes = progress.storedBytes;
  return segments
    .map((segment) => {
      if (segment.id !== id) {
        return segment;
      }
      const { segmentLength: length, segmentStoredBytes: storedBytes } = progress;
      const grown = Object.assign(segment, { length, storedBytes });
      rows.putSegment(grown);
      return grown;
    })
    .toSorted((a, b) => a.startOffset - b.startOffset);
}

function becomeActive(
  entry: LedgerEntry,
  claim: FinishClaim,
  { size, sha256, format, unpacked }: VerifiedWhole,
  blobId: BlobId,
  segments: readonly BlobSegment[],
): void {
  const { image, task } = entry;
  assertWhole(segments, size);
  image.state = 'ACTIVE';
  image.outlook = 'AVAILABLE';
  image.sizeBytes = size;
  image.virtualSizeBytes = format.virtualSize ?? null;
  image.sha256 = sha256;
  image.blobId = blobId;
  entry.touchImage();
  task.blobId = null;
  recordFinish(entry, claim);
  if (format.refusal) {
    entry.survive(faultOf(format.refusal));
  }
  entry.enterPhase('PUBLISHING', 'size and digest agree');
  const origin = unpacked
    ? `, unpacked from ${unpacked.packed.size} bytes of ${unpacked.packed.format}`
    : '';
  entry.succeed(`The image is ACTIVE with ${size} bytes, sha256 ${sha256}${origin}`);
}

/** What was unpacked takes the place of what came, of which size and digest are kept. */
async function exchangeBlobs(
  { em, image, now }: LockedEntry,
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
  for (const segment of segments.filter(({ length }) => length > 0)) {
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
