import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { OpenPort, type ConnectionSource, type PortAddress } from '../../runtime/port.ts';
import { Connections, type ConnectionLimits } from './connections.ts';
import { DeadPeers } from './dead-peers.ts';
import { tellProtocol } from './first-bytes.ts';
import { http1Server } from './http1-server.ts';
import { http2Server } from './http2-server.ts';
import type { RequestHandler } from './node-http.ts';
import { RefusedConnections } from './refused-connections.ts';
import type { GivenUpCallLimits } from './reset-limit.ts';

/** What a listener needs to begin. */
export interface ListenerOptions extends ConnectionLimits, GivenUpCallLimits {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly handler: RequestHandler;
  readonly logger: Logger;
  /** Where connections come from, if not from a port that this process opens. */
  readonly source?: ConnectionSource | undefined;
  /** How often silent HTTP/2 peers are looked for, in ms; 20 s if not set. */
  readonly deadPeerIntervalMs?: number;
}

/** An open port. */
export interface Listener extends PortAddress {
  /** Resolves when the port and every connection is closed. */
  readonly closed: Promise<void>;
  /**
   * Takes no more connections, and tells the clients of those that there are to go elsewhere (GOAWAY,
   * `Connection: close`). Running calls go on. Doing it again does nothing.
   */
  drain(): void;
  /** Ends every connection at once. */
  destroy(): void;
}

/**
 * Opens one plaintext port for HTTP/1.1 and for HTTP/2 with prior knowledge.
 *
 * @throws ListenError where the port is in use, forbidden, or the host is not one of this machine.
 */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const { handler, logger, headTimeoutMs, deadPeerIntervalMs = 20_000 } = options;
  const source = options.source ?? new OpenPort(options);
  const sockets = new Set<Socket>();
  const connections = new Connections(options);
  const refused = new RefusedConnections(logger);
  const deadPeers = new DeadPeers(deadPeerIntervalMs);
  const http1 = http1Server(handler, options);
  const http2 = http2Server(handler, { ...options, deadPeers });
  let draining = false;

  function take(socket: Socket): void {
    sockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      tellIfClosed();
    });
    socket.on('error', (error) => logger.debug({ err: error }, 'connection broke'));
    const reached = connections.admit(socket, (connection) =>
      tellProtocol(socket, headTimeoutMs, (protocol) =>
        (protocol === 'http2' ? http2 : http1).take(socket, connection),
      ),
    );
    if (reached !== undefined) {
      refused.refuse(socket, reached);
    }
  }

  let isPortClosed = false;
  const closed = Promise.withResolvers<void>();
  function tellIfClosed(): void {
    if (isPortClosed && sockets.size === 0) {
      deadPeers.stop();
      connections.stop();
      closed.resolve();
    }
  }

  function drain(): void {
    if (draining) {
      return;
    }
    draining = true;
    void source.close().then(() => {
      isPortClosed = true;
      tellIfClosed();
    });
    connections.endWaiting();
    http2.drain();
    http1.drain();
    for (const socket of sockets) {
      if (socket.bytesRead === 0) {
        socket.destroy();
      }
    }
  }

  const { address, port } = await source.open(take);

  return {
    address,
    port,
    closed: closed.promise,
    drain,
    destroy() {
      drain();
      http2.destroy();
      for (const socket of sockets) {
        socket.destroy();
      }
    },
  };
}
