import { DarkroomError } from '../calls/client-error.ts';
import {
  Survival,
  type ClientCalls,
  type ConnectionState,
  type SurvivalOptions,
} from '../calls/client-calls.ts';
import { SilenceGuard } from '../calls/silence-guard.ts';

/** Which part of an image is read, and how. Sizes are in bytes. */
export interface ReadOptions extends SurvivalOptions {
  /** From the image's start; 0 if not set. */
  readonly offset?: number;
  /** To the image's end if not set. What would go beyond it ends there. */
  readonly length?: number;
  /** Told when the connection is lost and when it is back. */
  readonly onConnection?: (connection: ConnectionState) => void;
}

/** A part of an image: they come in order and without gaps. */
export type ImagePart =
  | { readonly kind: 'data'; readonly offset: number; readonly data: Uint8Array }
  | {
      /** Zeros that did not travel. */
      readonly kind: 'hole';
      readonly offset: number;
      readonly length: number;
    };

/** What the service says at the end of a download. */
export interface ImageEnd {
  readonly sizeBytes: number;
  /** Of the whole image, in lower-case hexadecimal digits. */
  readonly sha256: string;
}

/**
 * Reads an image, or a range of it, through all that happens to the connection and to the service.
 *
 * @returns what the service says of the whole
 * @throws DarkroomError IMAGE_NOT_FOUND, IMAGE_STATE_INVALID and what else does not pass by itself; the signal's reason
 */
export async function* readImage(
  calls: ClientCalls,
  imageId: string,
  options: ReadOptions = {},
): AsyncGenerator<ImagePart, ImageEnd, undefined> {
  const survival = new Survival(calls, options);
  const { offset = 0, length, onConnection } = options;
  let at = offset;
  let end: ImageEnd | undefined;
  while (end === undefined) {
    let failure: DarkroomError;
    const guard = new SilenceGuard(survival.deadAfterMs, options.signal);
    try {
      guard.listen();
      const left = length === undefined ? undefined : offset + length - at;
      // All of it came, and the end was lost: that comes with the last byte, too.
      const isEndLost = left === 0;
      at -= isEndLost ? 1 : 0;
      const parts = calls.images.downloadImage(
        {
          imageId,
          offset: BigInt(at),
          ...(left !== undefined && { length: BigInt(Math.max(1, left)) }),
        },
        { signal: guard.signal },
      );
      const from = at;
      let isFirst = true;
      for await (const { part } of parts) {
        guard.rest();
        if (isFirst) {
          isFirst = false;
          onConnection?.({ state: 'connected' });
        }
        if (part.case === 'trailer') {
          const { totalSize, sha256, rangeSize } = part.value;
          if (Number(rangeSize) !== at - from) {
            throw misplaced(at, from + Number(rangeSize));
          }
          end = { sizeBytes: Number(totalSize), sha256 };
        } else if (part.case !== undefined) {
          survival.progressed();
          const placed = Number(part.value.offset);
          if (placed !== at) {
            throw misplaced(at, placed);
          }
          if (part.case === 'chunk') {
            const { data } = part.value;
            at += data.length;
            if (!isEndLost) {
              yield { kind: 'data', offset: placed, data };
            }
          } else {
            const holeLength = Number(part.value.length);
            at += holeLength;
            if (!isEndLost) {
              yield { kind: 'hole', offset: placed, length: holeLength };
            }
          }
        }
        guard.listen();
      }
      failure = new DarkroomError('CONNECTION_LOST', 'The download ended before its end.', {
        origin: 'network',
        isTransient: true,
      });
    } catch (error) {
      options.signal?.throwIfAborted();
      failure = guard.silence ?? DarkroomError.from(error);
    } finally {
      guard.close();
    }
    if (end === undefined) {
      if (!survival.passes(failure)) {
        throw failure;
      }
      await survival.wait(failure, onConnection);
    }
  }
  return end;
}

function misplaced(expected: number, came: number): DarkroomError {
  return new DarkroomError(
    'ANSWER_INVALID',
    `A download went on at byte ${came} and not at byte ${expected}.`,
  );
}
