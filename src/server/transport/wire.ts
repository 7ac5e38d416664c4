import type { Socket } from 'node:net';
import { tellProtocol, type Protocol } from './first-bytes.ts';

/** A connection on which a client has begun to speak HTTP. */
export interface BegunConnection {
  /** What HTTP is spoken on: over TLS not the socket of the port, but the one in it. */
  readonly socket: Socket;
  readonly protocol: Protocol;
}

/** What lies between a port and HTTP: nothing, or TLS. */
export interface Wire {
  readonly scheme: 'http' | 'https';
  /**
   * Waits until a client begins to speak HTTP. A connection that has not come so far after `timeoutMs` is destroyed, and
   * one that ends before too: then `begun` is never called.
   */
  begin(socket: Socket, timeoutMs: number, begun: (connection: BegunConnection) => void): void;
}

/** HTTP as it is. */
export const plaintextWire: Wire = {
  scheme: 'http',
  begin(socket, timeoutMs, begun) {
    tellProtocol(socket, timeoutMs, (protocol) => begun({ socket, protocol }));
  },
};
