import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** So many more requests may come after one that is the last to be answered: they were sent before its answer was there. */
const maxAfterLast = 64;

interface Turns {
  isBusy: boolean;
  readonly waiting: { readonly response: ServerResponse; readonly work: () => void }[];
  /** How many came after the last one that is answered; undefined where it has not come. */
  afterLast: number | undefined;
}

/**
 * Does the work for a request of HTTP/1.1 when those before it on its connection are answered. A client may send many
 * requests at once (pipelining), but is answered one after the other: all but the first would be begun only to wait, and
 * for nothing if the client goes.
 */
export class RequestTurns {
  readonly #limit: number;
  readonly #onFlood: (socket: Socket) => void;
  readonly #ofSocket = new WeakMap<Socket, Turns>();

  /**
   * @param limit how many may be open on one connection.
   * @param onFlood told once of a connection on which many come after the last that is answered, just before it is closed.
   */
  constructor(limit: number, onFlood: (socket: Socket) => void) {
    this.#limit = limit;
    this.#onFlood = onFlood;
  }

  /** Whether one more may wait on a connection. */
  hasRoom(socket: Socket): boolean {
    const turns = this.#turnsOf(socket);
    return turns.waiting.length + (turns.isBusy ? 1 : 0) < this.#limit;
  }

  /** @param work begins the work for the request that `response` answers. */
  take(socket: Socket, response: ServerResponse, work: () => void): void {
    const turns = this.#turnsOf(socket);
    if (turns.isBusy) {
      turns.waiting.push({ response, work });
    } else {
      this.#begin(turns, response, work);
    }
  }

  /** Says that a request is the last of its connection that is answered, when all before it are. */
  takeLast(socket: Socket): void {
    this.#turnsOf(socket).afterLast = 0;
  }

  /** Whether a request comes after the last one that is answered. A connection on which many do is closed. */
  isAfterLast(socket: Socket): boolean {
    const turns = this.#turnsOf(socket);
    if (turns.afterLast === undefined) {
      return false;
    }
    turns.afterLast += 1;
    // Node tells of all that was read with it as well.
    if (turns.afterLast === maxAfterLast + 1) {
      turns.waiting.length = 0;
      this.#onFlood(socket);
      socket.destroy();
    }
    return true;
  }

  #turnsOf(socket: Socket): Turns {
    let turns = this.#ofSocket.get(socket);
    if (turns === undefined) {
      turns = { isBusy: false, waiting: [], afterLast: undefined };
      this.#ofSocket.set(socket, turns);
    }
    return turns;
  }

  #begin(turns: Turns, response: ServerResponse, work: () => void): void {
    turns.isBusy = true;
    response.once('close', () => {
      turns.isBusy = false;
      // Those whose client has gone are closed as well.
      const next = turns.waiting.shift();
      if (next !== undefined && !next.response.destroyed) {
        this.#begin(turns, next.response, next.work);
      }
    });
    work();
  }
}
