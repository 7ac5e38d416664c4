import type { Database } from '../database/database.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { Interruption } from '../domain/interruption.ts';
import type { ImportOrder } from '../records/import-order.ts';
import type { WriterLease } from '../uploads/lease/writer-lease.ts';
import type { FinishClaim } from '../uploads/publishing/finish-claim.ts';
import type { StreamPace } from '../uploads/receiving/stream-watchdog.ts';
import type { DataTaker } from '../uploads/receiving/upload-stream.ts';
import { RangeUnusable, type Rest } from './answer-place.ts';
import { pumpBody } from './body-pump.ts';
import { emptyBody } from './empty-body.ts';
import { openHttpSource, type HttpSourceOptions } from './http-source.ts';
import { openImageSource, type ImageSourceParts } from './image-source.ts';
import { ImportCourse } from './import-course.ts';
import { ImportNotes } from './import-notes.ts';
import type { OpenedSource } from './opened-source.ts';
import { SourceFailure } from './source-failure.ts';
import { passingBehind } from './source-redirects.ts';
import { nameOfOrder } from './source-name.ts';
import { withoutSecrets } from './source-secrets.ts';

/** What a fetch works with. */
export interface FetchParts extends ImageSourceParts {
  readonly database: Database;
  readonly http: HttpSourceOptions;
  /** What a source must keep up. */
  readonly pace: StreamPace;
  readonly maxImageBytes: number;
}

/** One try of an import. */
interface Try {
  readonly parts: FetchParts;
  readonly order: ImportOrder;
  readonly lease: WriterLease;
  readonly interruption: Interruption;
  readonly take: DataTaker;
  readonly course: ImportCourse;
  readonly notes: ImportNotes;
}

/**
 * Brings what is missing of an import's bytes to `take`: from the source's ranges where it has any that
 * work, as many as it takes, and from its beginning where not, which is then compared with what is stored.
 *
 * @param interruption ends the waiting for the source.
 * @throws DarkroomError SIZE_EXCEEDED, SIZE_SHORT, any of the SOURCE_ reasons, what `take` throws.
 */
export async function fetchImport(
  parts: FetchParts,
  order: ImportOrder,
  lease: WriterLease,
  interruption: Interruption,
  take: DataTaker,
): Promise<FinishClaim> {
  const course = new ImportCourse(order, lease);
  const notes = new ImportNotes(parts.database, lease);
  const attempt = { parts, order, lease, interruption, take, course, notes };
  // If all of it is there, only what comes after went wrong.
  let isWhole = lease.finishSize === course.position || course.isWhole;
  while (!isWhole) {
    const { rest } = course;
    try {
      isWhole = await readOnce(attempt);
    } catch (error) {
      const unusable = unusableRange(error, attempt, rest);
      if (!unusable) {
        throw error;
      }
      course.giveUpRanges(unusable);
    }
  }
  await notes.take(course, withoutSecrets(course.endOf(nameOfOrder(order)), order));
  return { totalSize: course.position, sha256: undefined };
}

/** Reads a source until its body ends. Answers whether the image is whole then. */
async function readOnce(attempt: Try): Promise<boolean> {
  const source = await open(attempt);
  try {
    return await read(source, attempt);
  } catch (error) {
    throw passingBehind(source.redirectedFrom, error);
  } finally {
    source.close();
  }
}

async function read(source: OpenedSource, attempt: Try): Promise<boolean> {
  const { parts, order, lease, interruption, take, course, notes } = attempt;
  const { pace, maxImageBytes } = parts;
  const before = course.position;
  const road = withoutSecrets(course.roadOf(source), order);
  course.meet(source);
  assertSize(source, order, lease, maxImageBytes);
  await notes.take(course, road);
  const onCaughtUp = async (): Promise<void> => {
    course.catchUp(source);
    await notes.take(course, road);
  };
  const limit = Math.min(order.maxSize ?? maxImageBytes, maxImageBytes);
  const end = await pumpBody(
    source,
    { course, take, onCaughtUp },
    { pace, interruption, assertWithin: (size, name) => assertWithin(size, name, limit) },
  );
  const isWhole = course.conclude(source, before, end);
  if (isWhole && course.isUnexpectedlyEmpty) {
    throw await emptyBody(source.name, lease.declared);
  }
  return isWhole;
}

async function open(attempt: Try): Promise<OpenedSource> {
  const abort = new AbortController();
  const opening = openSource(attempt, abort.signal);
  try {
    return await attempt.interruption.race(opening);
  } catch (error) {
    abort.abort(error);
    // One that opened in this very moment.
    opening.then(
      (source) => source.close(),
      () => {},
    );
    throw error;
  }
}

function openSource(
  { parts, order, lease, course }: Try,
  signal: AbortSignal,
): Promise<OpenedSource> {
  const { url, sourceImageId, headers } = order;
  if (sourceImageId != null) {
    return openImageSource(parts, sourceImageId, order.imageId, course.position);
  }
  const { rest, position: stored, isWholeKnown } = course;
  const { declared } = lease;
  const wanted = { url: url ?? '', headers, rest, stored, isWholeKnown, declared };
  return openHttpSource(wanted, { ...parts.http, signal });
}

/** What an answer to a request for a range says of the range alone, as long as the whole is not asked for. */
const finalToRanges: ReadonlySet<string> = new Set([
  'SOURCE_HTTP_STATUS',
  'SOURCE_PROTOCOL_INVALID',
]);
/** From the third try on, ranges may be why nothing comes. */
const patientTries = 2;

/** Why no more ranges are to be asked for; undefined if an error says nothing of them. */
function unusableRange(
  error: unknown,
  { order, course }: Try,
  asked: Rest | undefined,
): RangeUnusable | undefined {
  if (error instanceof RangeUnusable) {
    return error;
  }
  if (!asked || !(error instanceof SourceFailure)) {
    return undefined;
  }
  const isSuspect = error.mayPass
    ? order.tries >= patientTries && error.retryAfterMs === 0 && course.position === asked.from
    : finalToRanges.has(error.reason);
  const what = error.message.replace(/\.$/, '');
  return isSuspect ? new RangeUnusable(`a request for its rest failed: ${what}`) : undefined;
}

/** @throws DarkroomError SIZE_EXCEEDED, SIZE_SHORT: before the first byte, where the source says its size. */
function assertSize(
  { name, size }: Pick<OpenedSource, 'name' | 'size'>,
  order: ImportOrder,
  { expectedSize }: WriterLease,
  maxImageBytes: number,
): void {
  if (size === undefined) {
    return;
  }
  if (expectedSize !== null && size < expectedSize) {
    throw new DarkroomError(
      'SIZE_SHORT',
      `The image was said to have ${expectedSize} bytes, and ${name} has ${size}.`,
    );
  }
  assertWithin(size, name, expectedSize ?? Math.min(order.maxSize ?? maxImageBytes, maxImageBytes));
}

function assertWithin(size: number, name: string, limit: number): void {
  if (size > limit) {
    throw new DarkroomError(
      'SIZE_EXCEEDED',
      `${name} has ${size} bytes or more, and ${limit} are the most that is taken. Import it with a ` +
        'larger max_size_bytes, or the right total_size.',
      { metadata: { limit: String(limit) } },
    );
  }
}
