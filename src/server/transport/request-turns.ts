import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** More requests than these do not wait on one connection: as many as may be open on one of HTTP/2. */
const maxWaiting = 256;

interface Turns {
  isBusy: boolean;
  readonly waiting: { readonly response: ServerResponse; readonly work: () => void }[];
}

/**
 * Does the work for a request of HTTP/1.1 when those before it on its connection are answered. A client may send many
 * requests at once (pipelining), but is answered one after the other: all but the first would be begun only to wait, and
 * for nothing if the client goes. A connection on which too many wait is closed.
 */
export class RequestTurns {
  readonly #ofSocket = new WeakMap<Socket, Turns>();

  /** @param work begins the work for the request that `response` answers. */
  take(socket: Socket, response: ServerResponse, work: () => void): void {
    const turns = this.#ofSocket.get(socket) ?? { isBusy: false, waiting: [] };
    this.#ofSocket.set(socket, turns);
    if (turns.isBusy) {
      turns.waiting.push({ response, work });
      if (turns.waiting.length > maxWaiting) {
        turns.waiting.length = 0;
        socket.destroy();
      }
      return;
    }
    this.#begin(turns, response, work);
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
