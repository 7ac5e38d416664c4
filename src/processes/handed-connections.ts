import type { Socket } from 'node:net';
import { asFromPort, type ConnectionSource, type PortAddress } from '../runtime/port.ts';

/** The connections that another process, which has the port, gives to this one. */
export class HandedConnections implements ConnectionSource {
  readonly #port: Promise<PortAddress>;
  #take: ((socket: Socket) => void) | undefined;

  constructor(port: Promise<PortAddress>) {
    this.#port = port;
  }

  /** Takes one. Undefined is one that its client has closed on the way. */
  hand(socket: Socket | undefined): void {
    if (socket !== undefined) {
      // It may break before anybody listens.
      socket.on('error', () => {});
      if (this.#take) {
        this.#take(asFromPort(socket));
      } else {
        socket.destroy();
      }
    }
  }

  open(take: (socket: Socket) => void): Promise<PortAddress> {
    this.#take = take;
    return this.#port;
  }

  close(): Promise<void> {
    this.#take = undefined;
    return Promise.resolve();
  }
}
