import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** Shorter rests of a body are left to the parser. */
const leastBytes = 256 * 1024;

/** Node's parser of HTTP/1.1, as far as it is known here; none of it is documented. */
interface Parser {
  readonly constructor: { readonly kOnBody?: unknown };
  [callback: number]: unknown;
}

/**
 * Takes the bytes of a request's body from its socket, where Node's parser of HTTP/1.1 would hand on a copy of each: 0.15 s of
 * CPU a GiB. The parser sees them all the same, so that it knows where the body ends, but it has nobody to give them to.
 *
 * Only bodies whose length is known, for others have chunks. The last piece comes by the request, and so does the end, so that
 * what follows on the connection is the parser's from its first byte.
 */
export class PastParser {
  readonly #socket: Socket;
  readonly #parser: Parser;
  readonly #callback: number;
  /** What the parser calls with each piece of a body. */
  readonly #onBody: unknown;
  readonly #take: (bytes: Buffer) => void;
  /** Bytes of the body that have not come. */
  #left: number;
  #isPaused = false;
  #isOver = false;

  private constructor(
    socket: Socket,
    parser: Parser,
    callback: number,
    left: number,
    take: (bytes: Buffer) => void,
  ) {
    this.#socket = socket;
    this.#parser = parser;
    this.#callback = callback;
    this.#onBody = parser[callback];
    this.#left = left;
    this.#take = take;
    // Has Node give what it reads to the socket, and not to the parser right away.
    socket.on('data', ignore).off('data', ignore);
    // A parser is used again for other connections.
    socket.prependListener('close', this.stop);
    parser[callback] = undefined;
    // Before the parser sees it: where this is the last piece, it is to be handed on by the parser.
    socket.prependListener('data', this.#onData);
  }

  /**
   * Begins to take the bytes of a body, if that can be had and pays. Not while the parser is at work, and not before the
   * connection is being read.
   *
   * @param received bytes of the body that the request has given so far.
   * @param take given the bytes as they come, all but the last piece.
   */
  static begin(
    request: IncomingMessage,
    received: number,
    take: (bytes: Buffer) => void,
  ): PastParser | undefined {
    const { socket } = request;
    const left = Number(request.headers['content-length']) - received;
    const { parser, _handle: handle } = socket as Socket & {
      readonly parser?: Parser | null;
      readonly _handle?: { readonly reading?: boolean } | null;
    };
    const callback = parser?.constructor.kOnBody;
    // Not "left < …", which would let NaN through.
    return left >= leastBytes &&
      request.headers['transfer-encoding'] === undefined &&
      request.readableLength === 0 &&
      !socket.destroyed &&
      handle?.reading === true &&
      parser &&
      typeof callback === 'number' &&
      typeof parser[callback] === 'function'
      ? new PastParser(socket, parser, callback, left, take)
      : undefined;
  }

  /** Has the connection be read no further for now. */
  pause(): void {
    if (!this.#isOver) {
      this.#isPaused = true;
      this.#socket.pause();
    }
  }

  /** Has it be read again. */
  resume(): void {
    if (this.#isPaused) {
      this.#isPaused = false;
      this.#socket.resume();
    }
  }

  /** Leaves what comes from here on to the parser, and so to the request. */
  readonly stop = (): void => {
    // Later the parser may be that of another connection.
    if (this.#isOver) {
      return;
    }
    this.#isOver = true;
    this.#parser[this.#callback] = this.#onBody;
    this.#socket.off('data', this.#onData);
    this.#socket.off('close', this.stop);
    this.resume();
  };

  readonly #onData = (bytes: Buffer): void => {
    if (bytes.byteLength < this.#left) {
      this.#left -= bytes.byteLength;
      this.#take(bytes);
    } else {
      this.stop();
    }
  };
}

function ignore(): void {}
