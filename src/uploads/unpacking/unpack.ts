import type { Database } from '../../database/database.ts';
import { retryWhileDatabaseIsAway } from '../../database/database-patience.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { Interruption } from '../../domain/interruption.ts';
import { settledWithin } from '../../domain/settled-within.ts';
import { CompressionError, type CompressionProblem } from '../../formats/compression-error.ts';
import { decompress } from '../../formats/compression.ts';
import { compressionIn } from '../../formats/signatures.ts';
import type { Compression } from '../../records/image.ts';
import { BlobReader, type SegmentPlace } from '../../storage/blob-reader.ts';
import type { TaskLedger } from '../../tasks/ledger/task-ledger.ts';
import { GrowingBlob, type BlobParts } from '../blob/growing-blob.ts';
import type { WriterLease } from '../lease/writer-lease.ts';
import type { FinishClaim } from '../publishing/finish-claim.ts';
import type { VerifiedWhole } from '../publishing/publish.ts';
import { ContentWriter, type ContentLimits } from './content-writer.ts';
import type { UnpackingLanes } from './unpacking-lanes.ts';
import {
  beginUnpacking,
  keepUnpackingWaiting,
  newUnpackingBlob,
  noteUnpacked,
  releaseUnpacking,
  type UnpackingBlob,
} from './unpacking-record.ts';

/** What an unpacking works with. */
export interface UnpackParts extends BlobParts {
  readonly database: Database;
  readonly ledger: TaskLedger;
  readonly limits: ContentLimits;
  readonly unpackingLanes: UnpackingLanes;
  /** Called after a commit that left bytes to be removed. */
  readonly onBlobsReleased: () => void;
}

/** Bytes that came, checked. */
export interface PackedWhole {
  readonly size: number;
  readonly sha256: string;
  readonly segments: readonly SegmentPlace[];
}

/** The unit in which packed bytes are read: progress is counted in it. */
const readBytes = 256 * 1024;
/** The first bytes tell what they are compressed with. */
const headBytes = 512;
/** How often progress is told at most, in ms. */
const progressIntervalMs = 1000;
/** How long an end waits for a disk before it leaves the rest to the background and to the repair, in ms. */
const releasePatienceMs = 5000;

/**
 * Unpacks the bytes of a lease that came whole into a blob of their own, checks that as any image, and
 * publishes it in place of them. Nothing is left of it otherwise: what the process cannot give up itself,
 * since it died or lost the database, is the repair's.
 *
 * @param publish makes the unpacked whole the image's; what it answers is answered.
 * @throws DarkroomError COMPRESSION_INVALID, SIZE_EXCEEDED, FORMAT_MISMATCH, FORMAT_UNSAFE, a storage error,
 *   WRITER_FENCED, TASK_TERMINAL, why it was interrupted, what `publish` throws.
 */
export async function unpack<Published>(
  parts: UnpackParts,
  lease: WriterLease,
  claim: FinishClaim,
  packed: PackedWhole,
  interruption: Interruption,
  publish: (whole: VerifiedWhole) => Promise<Published>,
): Promise<Published> {
  const waiting = setInterval(
    () => void keepUnpackingWaiting(parts.database, lease).catch(() => {}),
    Math.min(progressIntervalMs * 10, lease.idleTimeoutMs / 3),
  );
  try {
    return await parts.unpackingLanes.run(interruption, async () => {
      clearInterval(waiting);
      const target = newUnpackingBlob();
      await retryWhileDatabaseIsAway(() => beginUnpacking(parts.ledger, lease, claim, target));
      return unpackInto(parts, lease, packed, target, interruption, publish);
    });
  } finally {
    clearInterval(waiting);
  }
}

async function unpackInto<Published>(
  parts: UnpackParts,
  lease: WriterLease,
  packed: PackedWhole,
  target: UnpackingBlob,
  interruption: Interruption,
  publish: (whole: VerifiedWhole) => Promise<Published>,
): Promise<Published> {
  const source = new BlobReader(parts.store, packed.segments);
  let blob: GrowingBlob | undefined;
  try {
    const format = await interruption.race(compressionOfBlob(source, packed.size));
    blob = await GrowingBlob.open(parts, leaseOn(target, lease), interruption);
    const writer = new ContentWriter(blob, parts.limits, lease, packed.size, interruption);
    await unpackAll(parts, lease, format, source, packed, writer, interruption);
    const content = await writer.conclude();
    await interruption.race(blob.complete());
    const { size, sha256 } = packed;
    const published = await publish({
      ...content,
      unpacked: { ...target, ...content, packed: { format, size, sha256 } },
    });
    // The bytes that came.
    parts.onBlobsReleased();
    return published;
  } catch (error) {
    // Only now, so that nothing is written that was already removed.
    const release = giveUp(parts, target, blob);
    await settledWithin(release, releasePatienceMs);
    throw error;
  } finally {
    void source.close();
    void blob?.settle().then(async () => {
      await blob?.close();
      await blob?.dropDigest();
    });
  }
}

/** Never rejects: what is not given up here the repair finds, since no writer is attached to it any more. */
async function giveUp(
  { database, onBlobsReleased }: UnpackParts,
  { blobId }: UnpackingBlob,
  blob: GrowingBlob | undefined,
): Promise<void> {
  await blob?.settle();
  await blob?.close();
  const isReleased = await releaseUnpacking(database, blobId).catch(() => false);
  if (isReleased) {
    onBlobsReleased();
  }
}

/** The blob of the unpacked bytes is written as one that is uploaded, but for its commits. */
function leaseOn({ blobId, segmentId: id }: UnpackingBlob, lease: WriterLease): WriterLease {
  return {
    ...lease,
    blobId,
    segment: { id, startOffset: 0, length: 0, storedBytes: 0 },
    earlier: [],
    committedSize: 0,
    storedBytes: 0,
    expectedSize: null,
    expectedSha256: null,
    expectedSha512: null,
  };
}

/** @throws DarkroomError COMPRESSION_INVALID, a storage error. */
async function compressionOfBlob(source: BlobReader, size: number): Promise<Compression> {
  const head = Buffer.alloc(Math.min(headBytes, size));
  await source.read(0, head);
  const format = compressionIn(head);
  if (format === undefined) {
    throw new DarkroomError(
      'COMPRESSION_INVALID',
      'The image was to be unpacked, but it begins as none of gzip, xz, zstd and bzip2. Compress it with one of them, or ' +
        'make an image without decompress.',
    );
  }
  return format;
}

async function unpackAll(
  { database }: UnpackParts,
  lease: WriterLease,
  format: Compression,
  source: BlobReader,
  packed: PackedWhole,
  writer: ContentWriter,
  interruption: Interruption,
): Promise<void> {
  let read = 0;
  let told = 0;
  const telling = setInterval(
    () => {
      // A decoder that hangs is no sign of life.
      if (read > told) {
        told = read;
        noteUnpacked(database, lease, read).catch(() => {});
      }
    },
    Math.min(progressIntervalMs, lease.idleTimeoutMs / 3),
  );
  const content = decompress(
    format,
    piecesOf(source, packed.size, (end) => (read = end)),
  );
  try {
    for (;;) {
      const piece = await interruption.race(content.next());
      if (piece.done === true) {
        break;
      }
      await writer.add(piece.value);
    }
    await noteUnpacked(database, lease, packed.size).catch(() => {});
  } catch (error) {
    throw error instanceof CompressionError ? invalid(format, packed.size, error) : error;
  } finally {
    clearInterval(telling);
    content.return().catch(() => {});
  }
}

async function* piecesOf(
  source: BlobReader,
  size: number,
  onRead: (end: number) => void,
): AsyncGenerator<Uint8Array, void> {
  for (let position = 0; position < size;) {
    const piece = Buffer.allocUnsafe(Math.min(readBytes, size - position));
    await source.read(position, piece);
    position += piece.byteLength;
    yield piece;
    onRead(position);
  }
}

const problemClauses: Readonly<Record<CompressionProblem, string>> = {
  'cut short': 'they end before their stream does. Compress the image anew',
  damaged:
    'they are damaged, or followed by something that is no part of them. Compress the image anew',
  unsupported:
    'they are of a kind that is not known here. Compress the image anew, with the usual options',
  'beyond reason':
    'that takes more memory or time than is given to an image. Compress it anew, with the usual options',
};

function invalid(format: Compression, size: number, error: CompressionError): DarkroomError {
  return new DarkroomError(
    'COMPRESSION_INVALID',
    `The ${size} bytes of ${format} came as they were sent, but cannot be unpacked: ` +
      `${problemClauses[error.problem]}. RetryTask begins from the first byte.`,
    { cause: error, metadata: { problem: error.problem } },
  );
}
