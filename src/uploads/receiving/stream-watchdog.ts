/** What a sender must keep up. */
export interface StreamPace {
  /** ms without any byte. */
  readonly idleTimeoutMs: number;
  /** bytes/s, on average over an idle timeout of waiting; 0 allows any. */
  readonly minRate: number;
}

/** What a sender did not keep up. */
export type PaceBreach =
  | { readonly kind: 'idle'; readonly idleMs: number }
  /** Rates in bytes/s. */
  | {
      readonly kind: 'slow';
      readonly rate: number;
      readonly minRate: number;
      readonly waitedMs: number;
    };

/** So many looks an idle timeout: a silent sender is noticed at most that part of it late. */
const looksPerTimeout = 8;

/**
 * Watches that a client, or the source of an import, keeps sending. Only the time that the service waits
 * for it counts: a slow disk of its own is not the sender's fault.
 */
export class StreamWatchdog {
  readonly #pace: StreamPace;
  readonly #bytesReceived: () => number;
  readonly #onBark: (breach: PaceBreach) => void;
  readonly #timer: NodeJS.Timeout;
  #waitingSince: number | undefined;
  #seenBytes: number;
  /** When the last byte came, or the waiting began. */
  #lastByteTime = 0;
  #windowBytes: number;
  #windowWaitedMs = 0;

  /**
   * @param bytesReceived counts the bytes of the stream as they come in from the network.
   * @param onBark told once.
   */
  constructor(pace: StreamPace, bytesReceived: () => number, onBark: (breach: PaceBreach) => void) {
    this.#pace = pace;
    this.#bytesReceived = bytesReceived;
    this.#seenBytes = bytesReceived();
    this.#windowBytes = this.#seenBytes;
    this.#onBark = onBark;
    this.#timer = setInterval(
      () => this.#look(),
      Math.max(1, pace.idleTimeoutMs / looksPerTimeout),
    );
    this.#timer.unref();
  }

  /** Says that the service waits for the sender from now on. */
  beginWait(): void {
    this.#waitingSince = performance.now();
    this.#lastByteTime = this.#waitingSince;
  }

  /** Says that what the service waited for has come. */
  endWait(): void {
    if (this.#waitingSince !== undefined) {
      this.#windowWaitedMs += performance.now() - this.#waitingSince;
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
      this.#bark({ kind: 'idle', idleMs: idleTimeoutMs });
      return;
    }
    const waitedMs = this.#windowWaitedMs + (now - this.#waitingSince);
    if (waitedMs < idleTimeoutMs) {
      return;
    }
    const rate = ((bytes - this.#windowBytes) * 1000) / waitedMs;
    if (rate < minRate) {
      this.#bark({ kind: 'slow', rate: Math.floor(rate), minRate, waitedMs });
    }
    this.#windowBytes = bytes;
    this.#windowWaitedMs = -(now - this.#waitingSince);
  }

  #bark(breach: PaceBreach): void {
    this.stop();
    this.#onBark(breach);
  }
}
