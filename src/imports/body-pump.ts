import { DarkroomError } from '../domain/darkroom-error.ts';
import type { Interruption } from '../domain/interruption.ts';
import {
  StreamWatchdog,
  type PaceBreach,
  type StreamPace,
} from '../uploads/receiving/stream-watchdog.ts';
import type { DataTaker } from '../uploads/receiving/upload-stream.ts';
import { RangeUnusable } from './answer-place.ts';
import { ByteGatherer } from './byte-gatherer.ts';
import type { ImportCourse } from './import-course.ts';
import type { OpenedSource } from './opened-source.ts';
import { sourceChanged, SourceFailure } from './source-failure.ts';

/** Where the bytes of a source go. */
export interface PumpTarget {
  readonly course: ImportCourse;
  readonly take: DataTaker;
  /** Called once when all that was there has come again, before what is new is taken. */
  readonly onCaughtUp: () => Promise<void>;
}

/** What bounds the pumping. */
export interface PumpLimits {
  /** What the source must keep up. */
  readonly pace: StreamPace;
  /** Ends the waiting for the source. */
  readonly interruption: Interruption;
  /** @throws DarkroomError SIZE_EXCEEDED if the image must not have so many bytes. */
  readonly assertWithin: (size: number, source: string) => void;
}

/**
 * Takes all that a source sends. What is there already is compared.
 *
 * @returns where in the image the body ended.
 * @throws RangeUnusable if it is no range of the image as it says.
 * @throws DarkroomError SIZE_EXCEEDED, any of the SOURCE_ reasons, what `take` throws.
 */
export async function pumpBody(
  source: OpenedSource,
  { course, take, onCaughtUp }: PumpTarget,
  { pace, interruption, assertWithin }: PumpLimits,
): Promise<number> {
  const { position: stored } = course;
  const takeSame = async (offset: number, data: Uint8Array): Promise<void> => {
    // What takes the bytes may move them away.
    const end = offset + data.byteLength;
    await take({ kind: 'chunk', offset, data, crc32c: undefined }).catch((error: unknown) => {
      throw isOther(error) ? othersThanBefore(source) : error;
    });
    course.reach(end);
  };
  let isCaughtUp = source.start >= stored;
  const gatherer = new ByteGatherer(source.start, async (offset, data) => {
    const { byteLength } = data;
    const again = isCaughtUp ? 0 : Math.min(stored - offset, byteLength);
    if (again > 0) {
      await takeSame(offset, again < byteLength ? data.slice(0, again) : data);
    }
    if (again < byteLength) {
      if (!isCaughtUp) {
        await onCaughtUp();
        isCaughtUp = true;
      }
      await takeSame(offset + again, again === 0 ? data : data.subarray(again));
    }
  });
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
      const end = gatherer.position + chunk.value.byteLength;
      if (source.end !== undefined && end > source.end) {
        throw new RangeUnusable('it sent more bytes than it said that a range has');
      }
      assertWithin(end, source.name);
      await gatherer.add(chunk.value);
    }
    await gatherer.flush();
    return gatherer.position;
  } catch (error) {
    // What came is sound: the next try goes on after it.
    await gatherer.flush().catch(() => {});
    throw error;
  } finally {
    watchdog.stop();
  }
}

function isOther(error: unknown): boolean {
  return error instanceof DarkroomError && error.reason === 'REPLAY_MISMATCH';
}

/** A range that is of other bytes may be misplaced; the whole tells whether the source has changed. */
function othersThanBefore({ name, end }: OpenedSource): Error {
  return end === undefined
    ? sourceChanged(`${name} has other bytes than when they were read before.`)
    : new RangeUnusable('it sent other bytes with a range than before');
}

function stalled(breach: PaceBreach, name: string): SourceFailure {
  const what =
    breach.kind === 'idle'
      ? `No byte came for ${breach.idleMs / 1000} s`
      : `Only ${breach.rate} bytes/s came for ${Math.round(breach.waitedMs / 1000)} s, and ${breach.minRate} are the least`;
  return new SourceFailure('SOURCE_STALLED', `${what}: ${name}.`, { mayPass: true });
}
