import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { OpenPort, type ConnectionSource, type PortAddress } from '../../runtime/port.ts';
import { Connections, type ConnectionLimits } from './connections.ts';
import { DeadPeers } from './dead-peers.ts';
import { http1Server } from './http1-server.ts';
import { http2Server, type Http2Limits } from './http2-server.ts';
import type { RequestHandler } from './node-http.ts';
import type { RequestLimits } from './protocol-server.ts';
import { RefusedConnections } from './refused-connections.ts';
import { RefusedRequests } from './refused-requests.ts';
import { TlsWire, type TlsWireOptions } from './tls-wire.ts';
import { plaintextWire } from './wire.ts';

/** What a listener needs to begin. */
export interface ListenerOptions extends ConnectionLimits, RequestLimits, Http2Limits {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly handler: RequestHandler;
  readonly logger: Logger;
  /** Where connections come from, if not from a port that this process opens. */
  readonly source?: ConnectionSource | undefined;
  /** With what TLS is spoken; plaintext if not set. */
  readonly tls?: Omit<TlsWireOptions, 'logger'> | undefined;
  /** How often silent HTTP/2 peers are looked for, in ms; 20 s if not set. */
  readonly deadPeerIntervalMs?: number;
}

/** An open port. */
export interface Listener extends PortAddress {
  readonly scheme: 'http' | 'https';
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
 * Opens one port for HTTP/1.1 and HTTP/2: in plaintext, where a client of HTTP/2 has prior knowledge, or over TLS, where ALPN
 * tells it.
 *
 * @throws ListenError where the port is in use, forbidden, or the host is not one of this machine.
 */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const { handler, logger, headTimeoutMs, deadPeerIntervalMs = 20_000 } = options;
  const source = options.source ?? new OpenPort(options);
  const wire = options.tls ? new TlsWire({ ...options.tls, logger }) : plaintextWire;
  /** Those of the port, and on which each of them HTTP is spoken as soon as it is. */
  const sockets = new Map<Socket, Socket | undefined>();
  const connections = new Connections(options);
  const refused = new RefusedConnections(wire, logger);
  const deadPeers = new DeadPeers(deadPeerIntervalMs);
  const refusedRequests = new RefusedRequests(logger);
  const http1 = http1Server(handler, { ...options, refusedRequests });
  const http2 = http2Server(handler, { ...options, refusedRequests, deadPeers });
  let draining = false;

  function take(socket: Socket): void {
    sockets.set(socket, undefined);
    socket.once('close', () => {
      sockets.delete(socket);
      tellIfClosed();
    });
    socket.on('error', (error) => logger.debug({ err: error }, 'connection broke'));
    const reached = connections.admit(socket, (connection) =>
      wire.begin(socket, headTimeoutMs, (begun) => {
        sockets.set(socket, begun.socket);
        (begun.protocol === 'http2' ? http2 : http1).take(begun.socket, connection);
      }),
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
    for (const [socket, spoken] of sockets) {
      // Nothing was asked on it yet.
      if (spoken === undefined || spoken.bytesRead === 0) {
        socket.destroy();
      }
    }
  }

  const { address, port } = await source.open(take);

  return {
    address,
    port,
    scheme: wire.scheme,
    closed: closed.promise,
    drain,
    destroy() {
      drain();
      http2.destroy();
      for (const socket of sockets.keys()) {
        socket.destroy();
      }
    },
  };
}
