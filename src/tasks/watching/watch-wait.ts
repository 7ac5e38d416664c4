import { DarkroomError } from '../../domain/darkroom-error.ts';
import { onSharedAbort } from '../../domain/shared-signal.ts';

/** What ends a watch from outside. */
export interface WatchSignals {
  /** The caller went away, or its deadline passed. */
  readonly signal: AbortSignal;
  /** The service is stopping. */
  readonly drainSignal: AbortSignal;
}

/**
 * All the waiting of one watch: for a wake, a time, a read, and whatever ends it. A watch awaits
 * nothing but this, so that it lets go of everything in the instant in which its caller goes.
 */
export class WatchWait {
  readonly #signals: WatchSignals;
  readonly #unfollowDrain: () => void;
  #isAwake = false;
  #resume: (() => void) | undefined;
  #abandon: ((reason: unknown) => void) | undefined;

  constructor(signals: WatchSignals) {
    this.#signals = signals;
    signals.signal.addEventListener('abort', this.#onSignal);
    this.#unfollowDrain = onSharedAbort(signals.drainSignal, () => this.#onSignal());
  }

  /** Ends the present `until`, or the next one if there is none. */
  readonly wake = (): void => {
    this.#isAwake = true;
    this.#resume?.();
  };

  /**
   * @throws the signal's reason when the caller went or its deadline passed; DarkroomError
   *   SERVER_DRAINING when the service is stopping.
   */
  throwIfOver(): void {
    this.#signals.signal.throwIfAborted();
    if (this.#signals.drainSignal.aborted) {
      throw drainingError();
    }
  }

  /** Waits for a wake, for `performance.now()` to reach `time`, or for the end. @throws as `throwIfOver`. */
  async until(time: number): Promise<void> {
    if (!this.#isAwake && !this.#isOver()) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#resume = resolve;
        // Node keeps one list of timers for each duration: ten thousand that are all 15 s cost next to nothing.
        timer = setTimeout(resolve, Math.max(0, Math.ceil(time - performance.now())));
      });
      clearTimeout(timer);
      this.#resume = undefined;
    }
    this.#isAwake = false;
    this.throwIfOver();
  }

  /** Awaits a promise, but no longer than the watch lasts. @throws as `throwIfOver`, or what the promise throws. */
  async race<T>(promise: Promise<T>): Promise<T> {
    this.throwIfOver();
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#abandon = reject;
        promise.then(resolve, reject);
      });
    } finally {
      this.#abandon = undefined;
    }
  }

  /** Lets go of the signals. */
  close(): void {
    this.#signals.signal.removeEventListener('abort', this.#onSignal);
    this.#unfollowDrain();
  }

  readonly #onSignal = (): void => {
    this.#resume?.();
    this.#abandon?.(this.#signals.signal.aborted ? this.#signals.signal.reason : drainingError());
  };

  #isOver(): boolean {
    return this.#signals.signal.aborted || this.#signals.drainSignal.aborted;
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
