import type { BlobSegment } from '../../records/blob.ts';
import { requireFormats } from '../../records/image-formats.ts';
import type { ProcessId } from '../../records/ids.ts';
import type { LedgerEntry } from '../../tasks/ledger/ledger-entry.ts';
import { sizeSaid, type UploadTerms } from './upload-terms.ts';
import type { WriterLease } from './writer-lease.ts';

/**
 * The property in which Nova tells of the volumes that an image of a machine that boots from them stands for. It makes such
 * an image ACTIVE by an upload of no bytes, whatever its format.
 */
const volumesProperty = 'block_device_mapping';

/**
 * The lease of a writer that was attached to a task.
 *
 * @param own the segment that it writes, of all that the blob has.
 * @param terms of a stream without frames.
 * @throws DarkroomError FORMAT_NOT_SET
 */
export function leaseOf(
  { task, image }: LedgerEntry,
  processId: ProcessId,
  own: BlobSegment,
  segments: readonly BlobSegment[],
  terms: UploadTerms | undefined,
): WriterLease {
  const { diskFormat, containerFormat } = requireFormats(image);
  const { id, startOffset, length, storedBytes } = own;
  return {
    taskId: task.id,
    taskType: task.type,
    epoch: task.writerEpoch,
    processId,
    blobId: own.blobId,
    segment: { id, startOffset, length, storedBytes },
    earlier: segments
      .filter((segment) => segment !== own && segment.length > 0)
      .map((segment) => ({
        id: segment.id,
        startOffset: segment.startOffset,
        length: segment.length,
      })),
    committedSize: task.committedSize,
    storedBytes: task.storedBytes,
    expectedSize: terms
      ? (sizeSaid(task) ?? terms.stated.size ?? null)
      : (task.expectedSize ?? null),
    expectedSha256: task.expectedSha256 ?? null,
    expectedSha512: terms?.stated.sha512 ?? task.expectedSha512 ?? null,
    declared: {
      diskFormat,
      containerFormat: task.decompress ? 'COMPRESSED' : containerFormat,
      isUnpackedLater: task.decompress,
      standsForVolumes: volumesProperty in image.properties,
    },
    decompress: task.decompress,
    idleTimeoutMs: task.idleTimeoutMs,
    finishSize: task.finishSize ?? null,
  };
}
