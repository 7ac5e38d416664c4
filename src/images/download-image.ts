import type { Database } from '../database/database.ts';
import type { Caller } from '../domain/caller.ts';
import { DarkroomError, invalidFields, type FieldViolation } from '../domain/darkroom-error.ts';
import type { ImageId } from '../domain/ids.ts';
import { BlobReader } from '../storage/blob-reader.ts';
import type { BlobStore } from '../storage/blob-store.ts';
import { readPublishedSegments } from '../storage/published-segments.ts';
import { splitZeroRuns } from '../storage/zero-run.ts';
import { Image } from './image.ts';

/** Which bytes of an image. */
export interface DownloadRange {
  /** Bytes from the image's start. */
  readonly offset: number;
  /** Bytes; undefined for all the rest. */
  readonly length: number | undefined;
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

/**
 * Reads an image's bytes in order, zeros as holes, and a trailer at the end. Reads one chunk ahead of
 * its consumer, so memory is bounded whatever the consumer does.
 *
 * @throws DarkroomError IMAGE_NOT_FOUND, IMAGE_STATE_INVALID, FIELD_INVALID, OFFSET_OUT_OF_RANGE, a
 *   storage error.
 */
export async function* downloadImage(
  database: Database,
  store: BlobStore,
  caller: Caller,
  imageId: ImageId,
  range: DownloadRange,
): AsyncGenerator<DownloadPart, void, undefined> {
  assertRange(range);
  const image = await database.fork().findOne(Image, { id: imageId, projectId: caller.projectId });
  if (!image) {
    throw new DarkroomError('IMAGE_NOT_FOUND', `There is no image ${imageId} in this project.`);
  }
  if (image.state !== 'ACTIVE' || !image.blobId || image.sizeBytes == null || !image.sha256) {
    throw new DarkroomError(
      'IMAGE_STATE_INVALID',
      `Image ${imageId} is ${image.state} and has no bytes to read. ` +
        (image.outlook === 'EXPECTED'
          ? 'They are expected: watch its latest task.'
          : 'They will not come: its last fault says why.'),
      { metadata: { state: image.state, outlook: image.outlook } },
    );
  }
  const { sizeBytes: totalSize, sha256 } = image;
  if (range.offset > totalSize) {
    throw new DarkroomError(
      'OFFSET_OUT_OF_RANGE',
      `The range begins at ${range.offset}, and image ${imageId} ends at ${totalSize}.`,
      { metadata: { size_bytes: String(totalSize) } },
    );
  }
  const end = Math.min(totalSize, range.offset + (range.length ?? totalSize));
  const reader = new BlobReader(store, await readPublishedSegments(database, image.blobId));
  try {
    yield* readParts(reader, range.offset, end);
  } finally {
    await reader.close();
  }
  yield { kind: 'trailer', totalSize, sha256, rangeSize: end - range.offset };
}

async function* readParts(
  reader: BlobReader,
  start: number,
  end: number,
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
    for (const run of worthwhileRuns(data, position)) {
      const offset = position + run.start;
      const length = run.end - run.start;
      if (run.kind === 'zeros') {
        hole = hole ? { offset: hole.offset, length: hole.length + length } : { offset, length };
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

/** The runs of a buffer, with zeros that are not worth a hole joined to the data around them. */
function worthwhileRuns(data: Uint8Array, position: number): ReturnType<typeof splitZeroRuns> {
  const joined: { kind: 'data' | 'zeros'; start: number; end: number }[] = [];
  for (const run of splitZeroRuns(data, position)) {
    // At an edge the zeros may go on in the neighbouring buffer.
    const isWorthwhile =
      run.end - run.start >= leastHole || run.start === 0 || run.end === data.byteLength;
    const kind = run.kind === 'zeros' && isWorthwhile ? 'zeros' : 'data';
    const last = joined.at(-1);
    if (last?.kind === 'data' && kind === 'data') {
      last.end = run.end;
    } else {
      joined.push({ kind, start: run.start, end: run.end });
    }
  }
  return joined;
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
