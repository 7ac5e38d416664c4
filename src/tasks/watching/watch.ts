import { DarkroomError } from '../../domain/darkroom-error.ts';
import { onSharedAbort } from '../../domain/shared-signal.ts';
import type { Wakeable } from './wakes.ts';

/**
 * A watch that has begun, as its reader sees it: who reads slowly takes slowly, and nothing is kept for him but how far he
 * is. Its reader is woken when there may be more to take.
 */
export interface Watch<Message> {
  /** Whether all was told. */
  readonly hasEnded: boolean;
  /**
   * The next message; undefined where there is none by now. To take one more is to have taken the last.
   *
   * @throws what ends the watch: DarkroomError, or the driver's errors.
   */
  take(): Message | undefined;
  /** Lets go of everything. */
  close(): void;
}

/** What ends a watch from outside. */
export interface WatchSignals {
  /** The caller went away, or its deadline passed. */
  readonly signal: AbortSignal;
  /** The service is stopping. */
  readonly drainSignal: AbortSignal;
}

/**
 * The messages of a watch, for who reads them one after the other.
 *
 * @param begin begins the watch, for the reader that it is given.
 * @throws what the watch throws; the signal's reason when the caller went or its deadline passed.
 */
export async function* messagesOf<Message>(
  begin: (reader: Wakeable) => Promise<Watch<Message>>,
  signal: AbortSignal,
): AsyncGenerator<Message, void, undefined> {
  let woken = Promise.withResolvers<void>();
  const wake = (): void => woken.resolve();
  const watch = await begin({ wake });
  signal.addEventListener('abort', wake);
  try {
    while (!watch.hasEnded) {
      signal.throwIfAborted();
      woken = Promise.withResolvers();
      const message = watch.take();
      if (message !== undefined) {
        yield message;
      } else if (!watch.hasEnded) {
        await woken.promise;
      }
    }
  } finally {
    signal.removeEventListener('abort', wake);
    watch.close();
  }
}

/**
 * Awaits a promise, but no longer than the watch lasts.
 *
 * @throws what the promise throws; the signal's reason when the caller went or its deadline passed; DarkroomError
 *   SERVER_DRAINING when the service is stopping.
 */
export async function untilOver<T>(
  promise: Promise<T>,
  { signal, drainSignal }: WatchSignals,
): Promise<T> {
  const over = Promise.withResolvers<never>();
  const onSignal = (): void => over.reject(signal.reason);
  const onDrain = (): void => over.reject(drainingError());
  signal.addEventListener('abort', onSignal);
  const unfollowDrain = onSharedAbort(drainSignal, onDrain);
  try {
    if (signal.aborted) {
      onSignal();
    } else if (drainSignal.aborted) {
      onDrain();
    }
    return await Promise.race([over.promise, promise]);
  } finally {
    signal.removeEventListener('abort', onSignal);
    unfollowDrain();
  }
}

/** @throws DarkroomError SERVER_DRAINING when the service is stopping. */
export function throwIfDraining(drainSignal: AbortSignal): void {
  if (drainSignal.aborted) {
    throw drainingError();
  }
}

/** Long enough for another process to be found, short enough not to be noticed. */
const drainRetryDelayMs = 500;

function drainingError(): DarkroomError {
  return new DarkroomError(
    'SERVER_DRAINING',
    'The service is stopping. Call again: a watch of one task goes on after its last resume_token, ' +
      'on any process; a watch of many begins with the list.',
    { retryDelayMs: drainRetryDelayMs },
  );
}
