import type { Socket } from 'node:net';

/** Who takes connections, one after the other. */
export interface ConnectionTaker {
  /** Given a connection, when it has taken the one before. */
  take(socket: Socket): void;
}

/**
 * Gives connections to processes in turn, each one at a time: to one that is frozen or busy goes one, and the next to
 * the others. Those that come while nobody takes any wait.
 */
export class ConnectionQueue {
  readonly #limit: number;
  readonly #waiting: Socket[] = [];
  /** Who can take one, the one that took the last one last. */
  readonly #free = new Set<ConnectionTaker>();

  /** @param limit how many may wait; more are closed. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Has a connection go to whose turn it is. It must be paused: nothing of it may have been read. */
  add(socket: Socket): void {
    // An error that nobody listens to would end the process.
    socket.on('error', () => {});
    if (this.#waiting.length >= this.#limit) {
      socket.destroy();
      return;
    }
    this.#waiting.push(socket);
    this.#give();
  }

  /** Says that somebody can take one more. */
  free(taker: ConnectionTaker): void {
    this.#free.add(taker);
    this.#give();
  }

  /** Says that somebody takes no more. */
  leave(taker: ConnectionTaker): void {
    this.#free.delete(taker);
  }

  /** Closes those that wait. */
  close(): void {
    for (const socket of this.#waiting.splice(0)) {
      socket.destroy();
    }
  }

  #give(): void {
    for (const taker of this.#free) {
      const socket = this.#waiting.shift();
      if (socket === undefined) {
        return;
      }
      this.#free.delete(taker);
      taker.take(socket);
    }
  }
}
