import { untilAborted } from '../domain/abortable.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';

/** What a client that uploads must keep up. */
export interface StreamPace {
  /** ms without any byte. */
  readonly idleTimeoutMs: number;
  /** bytes/s, on average over an idle timeout of waiting; 0 allows any. */
  readonly minRate: number;
}

/** So many looks an idle timeout: a silent client is noticed at most that part of it late. */
const looksPerTimeout = 8;

/**
 * Watches that a client keeps sending. Only the time that the service waits for the client counts: a
 * slow disk of its own is not the client's fault.
 */
export class StreamWatchdog {
  readonly #pace: StreamPace;
  readonly #bytesReceived: () => number;
  readonly #signal: AbortSignal;
  readonly #bark = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #waitingSince: number | undefined;
  #seenBytes: number;
  /** When the last byte came, or the waiting began. */
  #lastByteTime = 0;
  #windowBytes: number;
  #windowWaitedMs = 0;

  /**
   * @param bytesReceived counts the bytes of the stream as they come in from the network.
   * @param signal ends the waiting as well.
   */
  constructor(pace: StreamPace, bytesReceived: () => number, signal: AbortSignal) {
    this.#pace = pace;
    this.#bytesReceived = bytesReceived;
    this.#seenBytes = bytesReceived();
    this.#windowBytes = this.#seenBytes;
    this.#signal = AbortSignal.any([signal, this.#bark.signal]);
    this.#timer = setInterval(
      () => this.#look(),
      Math.max(1, pace.idleTimeoutMs / looksPerTimeout),
    );
    this.#timer.unref();
  }

  /**
   * Waits for what the client sends next.
   *
   * @throws DarkroomError STREAM_IDLE, STREAM_TOO_SLOW; the signal's reason; what `promise` rejects with.
   */
  async wait<T>(promise: Promise<T>): Promise<T> {
    const start = performance.now();
    this.#waitingSince = start;
    this.#lastByteTime = start;
    try {
      return await untilAborted(this.#signal, promise);
    } finally {
      this.#windowWaitedMs += performance.now() - start;
      this.#waitingSince = undefined;
    }
  }

  /** Ends the watch. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    const bytes = this.#bytesReceived();
    if (bytes !== this.#seenBytes) {
      this.#seenBytes = bytes;
      this.#lastByteTime = now;
    }
    if (this.#waitingSince === undefined) {
      return;
    }
    const { idleTimeoutMs, minRate } = this.#pace;
    if (now - this.#lastByteTime >= idleTimeoutMs) {
      this.#bark.abort(
        new DarkroomError(
          'STREAM_IDLE',
          `No byte came for ${idleTimeoutMs / 1000} s, so the stream was ended. The upload can be resumed.`,
        ),
      );
      return;
    }
    const waitedMs = this.#windowWaitedMs + (now - this.#waitingSince);
    if (waitedMs >= idleTimeoutMs) {
      const rate = ((bytes - this.#windowBytes) * 1000) / waitedMs;
      if (rate < minRate) {
        this.#bark.abort(
          new DarkroomError(
            'STREAM_TOO_SLOW',
            `The stream brought ${Math.floor(rate)} bytes/s for ${Math.round(waitedMs / 1000)} s, and ${minRate} are ` +
              'the least that is taken, so it was ended. The upload can be resumed.',
          ),
        );
      }
      this.#windowBytes = bytes;
      this.#windowWaitedMs = -(now - this.#waitingSince);
    }
  }
}
