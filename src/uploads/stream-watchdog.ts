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
  readonly #onBark: (error: DarkroomError) => void;
  readonly #timer: NodeJS.Timeout;
  #waitingSince: number | undefined;
  #seenBytes: number;
  /** When the last byte came, or the waiting began. */
  #lastByteTime = 0;
  #windowBytes: number;
  #windowWaitedMs = 0;

  /**
   * @param bytesReceived counts the bytes of the stream as they come in from the network.
   * @param onBark told of STREAM_IDLE or STREAM_TOO_SLOW, once.
   */
  constructor(
    pace: StreamPace,
    bytesReceived: () => number,
    onBark: (error: DarkroomError) => void,
  ) {
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

  /** Says that the service waits for the client from now on. */
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
      this.#bark(
        'STREAM_IDLE',
        `No byte came for ${idleTimeoutMs / 1000} s, so the stream was ended.`,
      );
      return;
    }
    const waitedMs = this.#windowWaitedMs + (now - this.#waitingSince);
    if (waitedMs < idleTimeoutMs) {
      return;
    }
    const rate = ((bytes - this.#windowBytes) * 1000) / waitedMs;
    if (rate < minRate) {
      this.#bark(
        'STREAM_TOO_SLOW',
        `The stream brought ${Math.floor(rate)} bytes/s for ${Math.round(waitedMs / 1000)} s, and ${minRate} are ` +
          'the least that is taken, so it was ended.',
      );
    }
    this.#windowBytes = bytes;
    this.#windowWaitedMs = -(now - this.#waitingSince);
  }

  #bark(reason: 'STREAM_IDLE' | 'STREAM_TOO_SLOW', message: string): void {
    this.stop();
    this.#onBark(new DarkroomError(reason, `${message} The upload can be resumed.`));
  }
}
