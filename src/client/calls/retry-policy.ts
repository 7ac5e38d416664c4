import { DarkroomError } from './client-error.ts';

/** How often and how long something is tried again. Times are in ms. */
export interface RetryPolicy {
  /** The pause before the second try is a random part of this; of twice this before the third, and so on. */
  readonly firstDelayMs: number;
  /** No pause is longer, but for one that the service asks for. */
  readonly longestDelayMs: number;
  /** A call that has not come through for so long fails with its last error. 0 tries nothing twice. */
  readonly giveUpAfterMs: number;
  /** As giveUpAfterMs for uploads, downloads and watches, counted from when they last got any further. */
  readonly giveUpWithoutProgressMs: number;
  /** When nothing moves for so long that should, a connection is taken for dead. */
  readonly deadAfterMs: number;
}

/** What holds unless createDarkroomClient is told otherwise. */
export const defaultRetryPolicy: RetryPolicy = {
  firstDelayMs: 200,
  longestDelayMs: 15_000,
  giveUpAfterMs: 30_000,
  giveUpWithoutProgressMs: 600_000,
  deadAfterMs: 30_000,
};

/** Counts the tries of one thing, and says how long to wait before the next. */
export class Tries {
  readonly #policy: RetryPolicy;
  readonly #giveUpAfterMs: number;
  #sinceMs = performance.now();
  #failed = 0;

  constructor(policy: RetryPolicy, giveUpAfterMs: number) {
    this.#policy = policy;
    this.#giveUpAfterMs = giveUpAfterMs;
  }

  /** How many tries have failed since anything got any further. */
  get failed(): number {
    return this.#failed;
  }

  /** It got any further: the next failure is a first one again. */
  progressed(): void {
    this.#sinceMs = performance.now();
    this.#failed = 0;
  }

  /** How many ms to wait before the next try; `undefined` when it is time to give up. */
  failedBy(error: DarkroomError): number | undefined {
    const { firstDelayMs, longestDelayMs } = this.#policy;
    // 2 ** 30 is more than any policy has.
    const most = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(this.#failed, 30));
    // Many clients that failed at the same time must not come again at the same time.
    const delay = (error.retryAfterMs ?? 0) + Math.random() * most;
    this.#failed += 1;
    const spentMs = performance.now() - this.#sinceMs;
    return spentMs + delay > this.#giveUpAfterMs ? undefined : delay;
  }
}

/** Pauses between tries, which can all be ended at once. */
export class Pauses {
  readonly #ends = new Set<() => void>();
  #isClosed = false;

  /** @throws the signal's reason. @throws DarkroomError CLIENT_CLOSED */
  wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#ends.delete(end);
        signal?.removeEventListener('abort', end);
        if (signal?.aborted === true) {
          reject(abortReason(signal));
        } else if (this.#isClosed) {
          reject(new DarkroomError('CLIENT_CLOSED', 'The client was closed.'));
        } else {
          resolve();
        }
      };
      const timer = setTimeout(end, ms);
      this.#ends.add(end);
      signal?.addEventListener('abort', end);
      if (signal?.aborted === true || this.#isClosed) {
        end();
      }
    });
  }

  /** Ends all pauses: what waits tries again now. */
  endAll(): void {
    for (const end of this.#ends) {
      end();
    }
  }

  /** Fails all pauses, and all that come. */
  close(): void {
    this.#isClosed = true;
    this.endAll();
  }
}

/** What a signal was aborted with, as an error. */
export function abortReason(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new Error(`aborted: ${String(reason)}`);
}
