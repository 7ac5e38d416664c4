import type { Database } from '../database/database.ts';
import type { Caller } from '../access/caller.ts';
import { DarkroomError, invalidFields, type FieldViolation } from '../domain/darkroom-error.ts';
import type { BlobId, ImageId } from '../records/ids.ts';
import { BlobReader } from '../storage/blob-reader.ts';
import type { BlobStore } from '../storage/blob-store.ts';
import { segmentsForProject } from '../storage/published-segments.ts';
import { joinShortZeroRuns, splitZeroRuns } from '../storage/zero-run.ts';
import { imageDeactivated, readImage } from '../access/find-image.ts';
import { mayReadBytes, visibleProject } from '../access/rights.ts';
import type { DownloadPlaces } from './download-places.ts';
import type { Image } from '../records/image.ts';

/** What a download needs. */
export interface DownloadParts {
  readonly database: Database;
  readonly store: BlobStore;
  readonly places: DownloadPlaces;
}

/** Which bytes of an image. */
export interface DownloadRange {
  /** Bytes from the image's start. */
  readonly offset: number;
  /** Bytes; undefined for all the rest. */
  readonly length: number | undefined;
}

/** What there is to read of an image. */
export interface ImageContent {
  readonly blobId: BlobId;
  /** Bytes. */
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** One part of a download; offsets and lengths in bytes. */
export type DownloadPart =
  | { readonly kind: 'chunk'; readonly offset: number; readonly data: Uint8Array }
  | { readonly kind: 'hole'; readonly offset: number; readonly length: number }
  | {
      readonly kind: 'trailer';
      readonly totalSize: number;
      /** Lower-case hex. */
      readonly sha256: string;
      readonly rangeSize: number;
    };

/** The unit of reading and of the chunks that are sent: fast, and well below any client's message limit of 4 MiB. */
const readBytes = 1024 * 1024;

/** Fewer zeros than this travel as they are: a hole costs the reader a message and a seek. */
const leastHole = 64 * 1024;

/** Zeros that are read in about a second. */
const longestHoleByDefault = 1024 * 1024 * 1024;

/** Segments that are kept open: nearly all images have one. */
const openSegments = 64;

/**
 * @throws DarkroomError IMAGE_STATE_INVALID for an image without bytes; IMAGE_DEACTIVATED for one whose bytes are kept
 *   from the caller.
 */
export function contentOf(caller: Caller, image: Readonly<Image>): ImageContent {
  if (!mayReadBytes(caller, image)) {
    throw imageDeactivated(image);
  }
  const { state, blobId, sizeBytes: size, sha256 } = image;
  if (state !== 'ACTIVE' || !blobId || size == null || !sha256) {
    throw notReadable(image);
  }
  return { blobId, size, sha256 };
}

/**
 * Reads an image's bytes in order, zeros as holes, and a trailer at the end. Reads one chunk ahead of
 * its consumer, so memory is bounded whatever the consumer does.
 *
 * @param longestHole about how many zeros are read before they are told as a hole, in bytes: until then a consumer
 *   that has gone is not noticed.
 * @throws DarkroomError IMAGE_NOT_FOUND, IMAGE_STATE_INVALID, IMAGE_DEACTIVATED, FIELD_INVALID, OFFSET_OUT_OF_RANGE,
 *   TOO_MANY_DOWNLOADS, a storage error.
 */
export async function* downloadImage(
  parts: DownloadParts,
  caller: Caller,
  imageId: ImageId,
  range: DownloadRange,
  longestHole = longestHoleByDefault,
): AsyncGenerator<DownloadPart, void, undefined> {
  assertRange(range);
  const leave = parts.places.take();
  try {
    yield* download(parts, caller, imageId, range, longestHole);
  } finally {
    leave();
  }
}

async function* download(
  { database, store }: DownloadParts,
  caller: Caller,
  imageId: ImageId,
  range: DownloadRange,
  longestHole: number,
): AsyncGenerator<DownloadPart, void, undefined> {
  const image = await readImage(database, caller, imageId);
  const { blobId, size: totalSize, sha256 } = contentOf(caller, image);
  if (range.offset > totalSize) {
    throw new DarkroomError(
      'OFFSET_OUT_OF_RANGE',
      `The range begins at ${range.offset}, and image ${imageId} ends at ${totalSize}.`,
      { metadata: { size_bytes: String(totalSize) } },
    );
  }
  const end = Math.min(totalSize, range.offset + (range.length ?? totalSize));
  const segments = await segmentsForProject(database, visibleProject(caller), blobId);
  const reader = new BlobReader(store, segments, { maxOpen: openSegments });
  try {
    // At once, so that the download goes on if the image is deleted meanwhile.
    await reader.open(range.offset, end);
    yield* readParts(reader, range.offset, end, longestHole);
  } catch (error) {
    const isLost = error instanceof DarkroomError && error.reason === 'STORED_BYTES_LOST';
    const now = isLost ? await readImage(database, caller, imageId) : image;
    throw now.state === 'ACTIVE' ? error : notReadable(now);
  } finally {
    await reader.close();
  }
  yield { kind: 'trailer', totalSize, sha256, rangeSize: end - range.offset };
}

function notReadable({ id, state, outlook }: Readonly<Image>): DarkroomError {
  const reason =
    state === 'DELETED'
      ? 'It was deleted.'
      : outlook === 'EXPECTED'
        ? 'They are expected: watch its latest task.'
        : 'They will not come: its last fault says why.';
  return new DarkroomError(
    'IMAGE_STATE_INVALID',
    `Image ${id} is ${state} and has no bytes to read. ${reason}`,
    { metadata: { state, outlook } },
  );
}

async function* readParts(
  reader: BlobReader,
  start: number,
  end: number,
  longestHole: number,
): AsyncGenerator<DownloadPart, void, undefined> {
  const readAt = (position: number): Promise<Buffer> => {
    // Reads end at multiples of the unit, so that pages of zeros are found as they lie in the file.
    const size = Math.min(readBytes - (position % readBytes), end - position);
    const data = Buffer.allocUnsafeSlow(size);
    const read = reader.read(position, data).then(() => data);
    read.catch(() => {});
    return read;
  };
  let hole: { offset: number; length: number } | undefined;
  let coming = start < end ? readAt(start) : undefined;
  for (let position = start; coming;) {
    const data: Buffer = await coming;
    const next = position + data.byteLength;
    coming = next < end ? readAt(next) : undefined;
    for (const run of joinShortZeroRuns(splitZeroRuns(data, position), leastHole)) {
      const offset = position + run.start;
      const length = run.end - run.start;
      if (run.kind === 'zeros') {
        hole = hole ? { offset: hole.offset, length: hole.length + length } : { offset, length };
        if (hole.length >= longestHole) {
          yield { kind: 'hole', ...hole };
          hole = undefined;
        }
        continue;
      }
      if (hole) {
        yield { kind: 'hole', ...hole };
        hole = undefined;
      }
      yield { kind: 'chunk', offset, data: data.subarray(run.start, run.end) };
    }
    position = next;
  }
  if (hole) {
    yield { kind: 'hole', ...hole };
  }
}

function assertRange({ offset, length }: DownloadRange): void {
  const violations: FieldViolation[] = [];
  if (!Number.isSafeInteger(offset) || offset < 0) {
    violations.push({ field: 'offset', description: 'must be 0 or more bytes, below 2^53' });
  }
  if (length !== undefined && (!Number.isSafeInteger(length) || length < 1)) {
    violations.push({ field: 'length', description: 'must be 1 or more bytes, below 2^53' });
  }
  if (violations.length > 0) {
    throw invalidFields(violations);
  }
}
