import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';

/** No line is faster: whoever could send so much within the least round trip is held back by no window. */
const fastestBytesPerMs = (2 * 1024 * 1024 * 1024) / 1000;

/** Between two measures of a line on which nothing changes, at first and at most, in ms. */
const firstPauseMs = 100;
const longestPauseMs = 500;

/** A line, as it was found. */
export interface MeasuredLine {
  readonly bytesOnTheWay: number;
  /** That the fastest line of this length could have on the way. */
  readonly mostOnTheWay: number;
  readonly leastRoundTripMs: number;
}

/**
 * Measures how many bytes are on their way on a connection, while a client sends: what came between a PING and its answer,
 * were the answer as quick as the quickest was. That is gRPC's estimate of bandwidth and delay, but for the last part: in
 * the C core an answer that waited behind bytes in somebody's buffer counts as a longer line, and asks for a larger
 * window, which fills more buffers.
 *
 * Who is near is asked nothing.
 */
export class LineMeasure {
  readonly #session: ServerHttp2Session;
  readonly #socket: Socket;
  readonly #onMeasured: (line: MeasuredLine) => boolean;
  #leastRoundTripMs = Number.POSITIVE_INFINITY;
  #isRunning = false;
  #isAsking = false;
  #pauseMs = firstPauseMs;
  #timer: NodeJS.Timeout | undefined;

  /** @param onMeasured answers whether the client was given a larger window, so that the next measure comes soon. */
  constructor(
    session: ServerHttp2Session,
    socket: Socket,
    onMeasured: (line: MeasuredLine) => boolean,
  ) {
    this.#session = session;
    this.#socket = socket;
    this.#onMeasured = onMeasured;
    // The first round trip is had for nothing: settings are acknowledged.
    const began = performance.now();
    session.once('localSettings', () => this.#noteRoundTrip(performance.now() - began));
  }

  /** Measures again and again from now on, unless the client is so near that so many bytes never hold it back. */
  start(windowBytes: number): void {
    if (!this.#isRunning && windowBytes / this.#leastRoundTripMs < fastestBytesPerMs) {
      this.#isRunning = true;
      this.#pauseMs = firstPauseMs;
      this.#ask(windowBytes);
    }
  }

  /** Measures no more. */
  stop(): void {
    this.#isRunning = false;
    clearTimeout(this.#timer);
  }

  #ask(windowBytes: number): void {
    if (this.#isAsking || this.#session.destroyed) {
      return;
    }
    this.#isAsking = true;
    const before = this.#socket.bytesRead;
    this.#session.ping((error: Error | null, roundTripMs: number) => {
      this.#isAsking = false;
      if (error === null) {
        this.#noteRoundTrip(roundTripMs);
        this.#onAnswer(this.#socket.bytesRead - before, roundTripMs, windowBytes);
      }
    });
  }

  #onAnswer(bytes: number, roundTripMs: number, windowBytes: number): void {
    const isNear = windowBytes / this.#leastRoundTripMs >= fastestBytesPerMs;
    if (!this.#isRunning || isNear) {
      this.stop();
      return;
    }
    const leastRoundTripMs = this.#leastRoundTripMs;
    const bytesOnTheWay = (bytes / roundTripMs) * leastRoundTripMs;
    const mostOnTheWay = fastestBytesPerMs * leastRoundTripMs;
    const isLarger = this.#onMeasured({ bytesOnTheWay, mostOnTheWay, leastRoundTripMs });
    this.#pauseMs = isLarger ? firstPauseMs : Math.min(2 * this.#pauseMs, longestPauseMs);
    // The client hears of it half a round trip from now, and fills it in another one.
    const pauseMs = isLarger ? leastRoundTripMs : this.#pauseMs;
    this.#timer = setTimeout(() => this.#ask(windowBytes), pauseMs).unref();
  }

  #noteRoundTrip(ms: number): void {
    this.#leastRoundTripMs = Math.min(this.#leastRoundTripMs, ms);
  }
}
