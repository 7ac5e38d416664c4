import * as net from 'node:net';
import type { Logger } from 'pino';
import { Connections, type ConnectionLimits } from './connections.ts';
import { DeadPeers } from './dead-peers.ts';
import { tellProtocol } from './first-bytes.ts';
import { http1Server } from './http1-server.ts';
import { http2Server } from './http2-server.ts';
import type { RequestHandler } from './node-http.ts';
import { RefusedConnections } from './refused-connections.ts';

/** What a listener needs to begin. */
export interface ListenerOptions extends ConnectionLimits {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly handler: RequestHandler;
  readonly logger: Logger;
  /** How often silent HTTP/2 peers are looked for, in ms; 20 s if not set. */
  readonly deadPeerIntervalMs?: number;
}

/** An open port. */
export interface Listener {
  /** The address that is listened on. */
  readonly address: string;
  readonly port: number;
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

/** Thrown where the port cannot be opened; the message says which, why and what to do. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/**
 * Opens one plaintext port for HTTP/1.1 and for HTTP/2 with prior knowledge.
 *
 * @throws ListenError where the port is in use, forbidden, or the host is not one of this machine.
 */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const { handler, logger, headTimeoutMs, deadPeerIntervalMs = 20_000 } = options;
  const sockets = new Set<net.Socket>();
  const connections = new Connections(options);
  const refused = new RefusedConnections(logger);
  const deadPeers = new DeadPeers(deadPeerIntervalMs);
  const http1 = http1Server(handler, options);
  const http2 = http2Server(handler, { ...options, deadPeers });
  let draining = false;

  const tcp = net.createServer(
    // HTTP/1.1 clients may end their side after the request and still wait for the answer. The keepalive
    // probes notice a dead peer of HTTP/1.1.
    { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 },
    (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      socket.on('error', (error) => logger.debug({ err: error }, 'connection broke'));
      const connection = connections.admit(socket);
      if (typeof connection === 'string') {
        refused.refuse(socket, connection);
        return;
      }
      tellProtocol(socket, headTimeoutMs, (protocol) =>
        (protocol === 'http2' ? http2 : http1).take(socket, connection),
      );
    },
  );
  const closed = new Promise<void>((resolve) => {
    tcp.once('close', () => {
      deadPeers.stop();
      connections.stop();
      resolve();
    });
  });

  function drain(): void {
    if (draining) {
      return;
    }
    draining = true;
    tcp.close();
    http2.drain();
    http1.drain();
    for (const socket of sockets) {
      if (socket.bytesRead === 0) {
        socket.destroy();
      }
    }
  }

  const address = await listen(tcp, options);

  return {
    address: address.address,
    port: address.port,
    closed,
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

async function listen(tcp: net.Server, { host, port }: ListenerOptions): Promise<net.AddressInfo> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  tcp.once('error', reject);
  tcp.listen({ host, port }, resolve);
  try {
    await promise;
  } catch (cause) {
    throw new ListenError(whyNot(host, port, cause), { cause });
  }
  tcp.off('error', reject);
  return tcp.address() as net.AddressInfo;
}

function whyNot(host: string, port: number, cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const where = `cannot listen on ${host} port ${port}`;
  switch (code) {
    case 'EADDRINUSE':
      return `${where}: another process has the port; stop it or set DARKROOM_PORT to another one`;
    case 'EACCES':
      return `${where}: it is not allowed; set DARKROOM_PORT to 1024 or more`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${where}: it is not an address of this machine; set DARKROOM_HOST to one`;
    default:
      return `${where}: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
}
