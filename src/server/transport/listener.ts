import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import type { Logger } from 'pino';
import { DeadPeers } from './dead-peers.ts';
import { tellProtocol } from './first-bytes.ts';
import type { RequestHandler } from './node-http.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** What a listener needs to begin. */
export interface ListenerOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly handler: RequestHandler;
  readonly logger: Logger;
  /** How long a connection may stay silent, or an HTTP/1.1 request's header take, in ms; 10 s if not set. */
  readonly firstBytesTimeoutMs?: number;
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
  const { handler, logger, firstBytesTimeoutMs = 10_000, deadPeerIntervalMs = 20_000 } = options;
  const sockets = new Set<net.Socket>();
  const sessions = new Set<http2.ServerHttp2Session>();
  const http1Responses = new Set<http.ServerResponse>();
  const deadPeers = new DeadPeers(deadPeerIntervalMs);
  let draining = false;

  const http1 = http.createServer(
    {
      // The default of 300 s would kill every upload that takes longer.
      requestTimeout: 0,
      headersTimeout: firstBytesTimeoutMs,
      connectionsCheckingInterval: Math.min(firstBytesTimeoutMs, 5000),
      // Longer than the 60 s of common proxies, which else reuse a connection while it is being closed.
      keepAliveTimeout: 75_000,
      maxHeaderSize: 16 * KiB,
    },
    (request, response) => {
      trackHttp1(response);
      handler(request, response);
    },
  );
  // Else Node ends the connection with the client's half, before an answer that takes a while.
  Object.assign(http1, { httpAllowHalfOpen: true });
  // Node begins to enforce headersTimeout when the server itself starts to listen, which this one never does.
  http1.emit('listening');

  const http2Server = http2.createServer(
    {
      settings: {
        // 4 MiB for a stream and 16 MiB for a session doubled or tripled the rate of uploads over the 64 KiB
        // of the default (bench: 850 MiB/s).
        initialWindowSize: 4 * MiB,
        // Bounds what one client can hold: 256 windows of 4 MiB share the session's 16 MiB.
        maxConcurrentStreams: 256,
        maxHeaderListSize: 64 * KiB,
      },
      // In MB. The default of 10 counts what waits to be sent: ten downloads of 1 MiB chunks to slow readers
      // would have new calls of that client refused.
      maxSessionMemory: 256,
    },
    handler,
  );
  http2Server.on('session', (session) => {
    session.setLocalWindowSize(16 * MiB);
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    deadPeers.watch(session);
    if (draining) {
      session.close();
    }
  });
  http2Server.on('sessionError', (error) => logger.debug({ err: error }, 'HTTP/2 session broke'));

  function trackHttp1(response: http.ServerResponse): void {
    http1Responses.add(response);
    const { socket } = response;
    response.once('close', () => {
      http1Responses.delete(response);
      if (draining) {
        socket?.destroySoon();
      }
    });
    response.shouldKeepAlive &&= !draining;
  }

  const tcp = net.createServer(
    // HTTP/1.1 clients may end their side after the request and still wait for the answer. The keepalive
    // probes notice a dead peer of HTTP/1.1.
    { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 },
    (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      socket.on('error', (error) => logger.debug({ err: error }, 'connection broke'));
      tellProtocol(socket, firstBytesTimeoutMs, (protocol) => {
        if (protocol === 'http2') {
          // A client that ended its side of an HTTP/2 connection can send no more window updates nor acks.
          socket.allowHalfOpen = false;
          http2Server.emit('connection', socket);
        } else {
          http1.emit('connection', socket);
        }
      });
    },
  );
  const closed = new Promise<void>((resolve) => {
    tcp.once('close', () => {
      deadPeers.stop();
      resolve();
    });
  });

  function drain(): void {
    if (draining) {
      return;
    }
    draining = true;
    tcp.close();
    for (const session of sessions) {
      session.close();
    }
    for (const response of http1Responses) {
      response.shouldKeepAlive = false;
    }
    // Also closes the idle connections.
    http1.close();
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
      for (const session of sessions) {
        session.destroy();
      }
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
