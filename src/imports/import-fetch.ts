import type { Database } from '../database/database.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { FinishClaim } from '../uploads/publishing/finish-claim.ts';
import type { Interruption } from '../domain/interruption.ts';
import { retryWhileDatabaseIsAway } from '../database/database-patience.ts';
import {
  StreamWatchdog,
  type PaceBreach,
  type StreamPace,
} from '../uploads/receiving/stream-watchdog.ts';
import type { DataTaker } from '../uploads/receiving/upload-stream.ts';
import type { WriterLease } from '../uploads/lease/writer-lease.ts';
import { ByteGatherer } from './byte-gatherer.ts';
import { openHttpSource, type HttpSourceOptions, type OpenedSource } from './http-source.ts';
import { openImageSource, type ImageSourceParts } from './image-source.ts';
import type { ImportOrder } from '../records/import-order.ts';
import { noteSource } from './import-progress.ts';
import { sourceChanged, SourceFailure } from './source-failure.ts';

/** What a fetch works with. */
export interface FetchParts extends ImageSourceParts {
  readonly database: Database;
  readonly http: HttpSourceOptions;
  /** What a source must keep up. */
  readonly pace: StreamPace;
  readonly maxImageBytes: number;
}

/**
 * Brings what is missing of an import's bytes to `take`: from the source's range where it can, and from its
 * beginning where it cannot, which is then compared with what is stored.
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
  const { committedSize } = lease;
  const isOfOneVersion = order.sourceSize === committedSize && order.validator != null;
  if (lease.finishSize === committedSize || isOfOneVersion) {
    // All of it is there, and only what comes after went wrong.
    return { totalSize: committedSize, sha256: undefined };
  }
  const source = await open(parts, order, lease, interruption);
  try {
    assertSize(source, order, lease, parts.maxImageBytes);
    await retryWhileDatabaseIsAway(() => noteSource(parts.database, order, lease, source));
    return await pump(parts, source, order, lease, interruption, take);
  } finally {
    source.close();
  }
}

async function open(
  parts: FetchParts,
  order: ImportOrder,
  lease: WriterLease,
  interruption: Interruption,
): Promise<OpenedSource> {
  const abort = new AbortController();
  const opening = openSource(parts, order, lease, abort.signal);
  try {
    return await interruption.race(opening);
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
  parts: FetchParts,
  order: ImportOrder,
  lease: WriterLease,
  signal: AbortSignal,
): Promise<OpenedSource> {
  const { committedSize, expectedSize, expectedSha256, expectedSha512 } = lease;
  const { url, sourceImageId, headers } = order;
  if (sourceImageId != null) {
    return openImageSource(parts, sourceImageId, committedSize);
  }
  const stored = {
    size: committedSize,
    sourceSize: order.sourceSize ?? null,
    validator: order.validator ?? null,
  };
  const isWholeKnown = (expectedSize ?? expectedSha256 ?? expectedSha512) !== null;
  return openHttpSource(url ?? '', headers, stored, isWholeKnown, { ...parts.http, signal });
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

async function pump(
  { pace, maxImageBytes }: FetchParts,
  source: OpenedSource,
  order: ImportOrder,
  lease: WriterLease,
  interruption: Interruption,
  take: DataTaker,
): Promise<FinishClaim> {
  const limit = Math.min(order.maxSize ?? maxImageBytes, maxImageBytes);
  const gatherer = new ByteGatherer(source.start, (offset, data) =>
    takeSame(take, offset, data, source.name),
  );
  const bark = Promise.withResolvers<never>();
  bark.promise.catch(() => {});
  const watchdog = new StreamWatchdog(
    pace,
    () => source.bytesReceived(),
    (breach) => bark.reject(stalled(breach, source.name)),
  );
  try {
    for (;;) {
      watchdog.beginWait();
      const coming = Promise.race([source.body.next(), bark.promise]);
      const chunk = await interruption.race(coming);
      watchdog.endWait();
      if (chunk.done === true) {
        break;
      }
      assertWithin(gatherer.position + chunk.value.byteLength, source.name, limit);
      await gatherer.add(chunk.value);
    }
    await gatherer.flush();
  } catch (error) {
    // What came is sound: the next try goes on after it.
    await gatherer.flush().catch(() => {});
    throw error;
  } finally {
    watchdog.stop();
  }
  const { position } = gatherer;
  if (position < lease.committedSize) {
    throw sourceChanged(
      `${source.name} ended at byte ${position}, and ${lease.committedSize} of it had been read before.`,
    );
  }
  return { totalSize: position, sha256: undefined };
}

/** What comes again from a source that cannot go on in the middle must be what came before. */
async function takeSame(
  take: DataTaker,
  offset: number,
  data: Uint8Array<ArrayBuffer>,
  name: string,
): Promise<void> {
  try {
    await take({ kind: 'chunk', offset, data, crc32c: undefined });
  } catch (error) {
    if (error instanceof DarkroomError && error.reason === 'REPLAY_MISMATCH') {
      throw sourceChanged(`${name} has other bytes than when they were read before.`);
    }
    throw error;
  }
}

function stalled(breach: PaceBreach, name: string): SourceFailure {
  const what =
    breach.kind === 'idle'
      ? `No byte came for ${breach.idleMs / 1000} s`
      : `Only ${breach.rate} bytes/s came for ${Math.round(breach.waitedMs / 1000)} s, and ${breach.minRate} are the least`;
  return new SourceFailure('SOURCE_STALLED', `${what}: ${name}.`, { mayPass: true });
}
