import type { Http2Session, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { LineMeasure, type MeasuredLine } from './line-measure.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** How much clients of HTTP/2 may send ahead of what is read, in bytes. */
export interface ReceiveWindowLimits {
  /** On one call, however long its line. */
  readonly maxStreamWindowBytes: number;
  /** On all calls of this process. */
  readonly maxUnreadBytes: number;
}

/**
 * Enough for who is near: one stream of 1 GiB made 930 to 1,290 MiB/s with it and 800 to 1,000 with 4 MiB, 16 streams 930 to 1,100
 * and 760 to 970 (in turn, on a quiet machine), since bytes that wait are neither in the processor's caches nor young garbage.
 * After the 16 streams the process had 298 MiB, and 486 with 4 MiB. The 64 KiB of HTTP/2's default made half or a third of the rate.
 */
const usualBytes = 512 * KiB;

/** However many send, each has so much: what HTTP/2 has as its default. */
const leastBytes = 64 * KiB;

/**
 * Of a connection, for all its calls. Node gives it back as bytes come in, whether they are read or not, so it bounds
 * nothing, and must only never be the narrower one.
 */
const connectionBytes = 256 * MiB;

/**
 * The windows within which clients of HTTP/2 send the bodies of their calls. What a client has sent and nobody has read yet lies
 * in memory; and what may be on its way within a round trip is all that a call can move in one. So a window is
 * as large as the line is long, and those of all connections on which bodies are being sent have a bound in common, of which each
 * connection has the same share.
 *
 * Node has no window of a single call: what SETTINGS says holds for each call of a connection. A client learns of it a
 * round trip later, and may by then have sent what it was told before.
 */
export class ReceiveWindows {
  readonly limits: ReceiveWindowLimits;
  readonly #windows = new WeakMap<Http2Session, SessionWindow>();
  /** Connections on which bodies are being sent. */
  readonly #receiving = new Set<SessionWindow>();
  #isAdjusting = false;

  constructor(limits: ReceiveWindowLimits) {
    this.limits = limits;
  }

  /** Of each call on a connection that has just begun. */
  get initialBytes(): number {
    return powerOfTwoBelow(Math.min(usualBytes, this.limits.maxStreamWindowBytes));
  }

  /** Of each connection on which bodies are being sent. */
  get shareBytes(): number {
    return this.limits.maxUnreadBytes / Math.max(1, this.#receiving.size);
  }

  /** Looks after the windows of a connection that has just begun. */
  watch(session: ServerHttp2Session, socket: Socket): void {
    session.setLocalWindowSize(connectionBytes);
    this.#windows.set(session, new SessionWindow(this, session, socket));
  }

  /** Counts a call if its body is still being sent, until that has ended. */
  callBegins(stream: ServerHttp2Stream): void {
    if (stream.session !== undefined && stream.state.remoteClose === 0) {
      this.#windows.get(stream.session)?.bodyBegan(stream);
    }
  }

  /** Bodies begin to be sent on a connection. */
  enter(window: SessionWindow): void {
    this.#receiving.add(window);
    this.#adjust();
  }

  /** No body is being sent any more. */
  leave(window: SessionWindow): void {
    this.#receiving.delete(window);
    this.#adjust();
  }

  /** Once for all that come and go in one turn. */
  #adjust(): void {
    if (!this.#isAdjusting) {
      this.#isAdjusting = true;
      setImmediate(() => {
        this.#isAdjusting = false;
        for (const window of this.#receiving) {
          window.adjust();
        }
      });
    }
  }
}

/** The window of each call on one connection. */
class SessionWindow {
  readonly #windows: ReceiveWindows;
  readonly #session: ServerHttp2Session;
  readonly #line: LineMeasure;
  /** Calls whose bodies are being sent. */
  readonly #bodies = new Set<ServerHttp2Stream>();
  /** What the line asks for. */
  #wanted: number;
  /** What the client was told, or is being told. */
  #told: number;
  #isTelling = false;
  /** One for all calls, to be called on a stream: a function takes 0.1 KiB of each watcher. */
  readonly #onEnd: (this: ServerHttp2Stream) => void;

  constructor(windows: ReceiveWindows, session: ServerHttp2Session, socket: Socket) {
    this.#windows = windows;
    this.#session = session;
    this.#wanted = windows.initialBytes;
    this.#told = windows.initialBytes;
    this.#line = new LineMeasure(session, socket, (line) => this.#onMeasured(line));
    const bodyEnded = (stream: ServerHttp2Stream): void => this.#bodyEnded(stream);
    this.#onEnd = function onEnd() {
      bodyEnded(this);
    };
  }

  /** Counts a call until its body has ended. */
  bodyBegan(stream: ServerHttp2Stream): void {
    this.#bodies.add(stream);
    if (this.#bodies.size === 1) {
      this.#windows.enter(this);
      this.#line.start(this.#wanted);
    }
    this.adjust();
    // `once` would take 176 bytes more of each watcher.
    stream.on('end', this.#onEnd);
    stream.on('close', this.#onEnd);
  }

  /** Tells the client another window, if what it was told is too much or too little. */
  adjust(): void {
    const target = this.#target();
    if (target === this.#told || this.#isTelling || this.#session.destroyed) {
      return;
    }
    this.#told = target;
    this.#isTelling = true;
    this.#session.settings({ initialWindowSize: target }, () => {
      this.#isTelling = false;
      this.adjust();
    });
  }

  #bodyEnded(stream: ServerHttp2Stream): void {
    // Lists of listeners stay as long as they were.
    stream.off('end', this.#onEnd);
    stream.off('close', this.#onEnd);
    if (this.#bodies.delete(stream)) {
      if (this.#bodies.size === 0) {
        this.#line.stop();
        this.#windows.leave(this);
      }
      this.adjust();
    }
  }

  /** A connection that rests keeps no more than any other has at first; what it wants is known when it sends again. */
  #target(): number {
    if (this.#bodies.size === 0) {
      return Math.min(this.#told, this.#windows.initialBytes);
    }
    const share = this.#windows.shareBytes / this.#bodies.size;
    const most = powerOfTwoBelow(Math.min(this.#wanted, share));
    // Raised only where the share is double, so that one call more or less does not change all windows each time.
    return most < this.#told
      ? most
      : Math.max(this.#told, powerOfTwoBelow(Math.min(this.#wanted, share / 2)));
  }

  /** Answers whether it is larger now. */
  #onMeasured({ bytesOnTheWay, mostOnTheWay, leastRoundTripMs }: MeasuredLine): boolean {
    const ofAll = this.#told * this.#bodies.size;
    const isFull = bytesOnTheWay > ofAll * fullShare && this.#unreadBytes < ofAll / 2;
    const factor = leastRoundTripMs < farMs ? 2 : 4;
    const most = Math.min(this.#windows.limits.maxStreamWindowBytes, mostOnTheWay / fullShare);
    const wider = powerOfTwoBelow(Math.min(factor * this.#wanted, most));
    if (!isFull || this.#told < this.#wanted || wider <= this.#wanted) {
      return false;
    }
    this.#wanted = wider;
    this.adjust();
    return true;
  }

  /** Where these fill the windows it is the reader who holds a client back, and not the line. */
  get #unreadBytes(): number {
    return this.#bodies.values().reduce((sum, { readableLength }) => sum + readableLength, 0);
  }
}

/** Whoever is so far has a window in half as many steps: each takes two round trips. */
const farMs = 5;

/**
 * A window of which so much is on its way is taken for one that holds its sender back. nghttp2 tells of room when half of a
 * window was read, so a sender may have no more than half of it in each round trip; gRPC's C core, which tells
 * sooner, takes two thirds.
 */
const fullShare = 0.4;

function powerOfTwoBelow(bytes: number): number {
  return Math.max(leastBytes, 2 ** Math.floor(Math.log2(Math.max(1, bytes))));
}
