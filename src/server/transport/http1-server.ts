import * as http from 'node:http';
import type { Socket } from 'node:net';
import type { Connection } from './connections.ts';
import type { RequestHandler } from './node-http.ts';
import type { ProtocolServer, ProtocolServerOptions } from './protocol-server.ts';
import { RequestTurns } from './request-turns.ts';

const KiB = 1024;

/** How often heads that take too long are looked for, at most, in ms. */
const maxCheckIntervalMs = 5000;

/** Speaks HTTP/1.1 on connections that it is given. */
export function http1Server(
  handler: RequestHandler,
  { headTimeoutMs, idleTimeoutMs }: ProtocolServerOptions,
): ProtocolServer {
  const responses = new Set<http.ServerResponse>();
  const connections = new WeakMap<Socket, Connection>();
  const turns = new RequestTurns();
  let draining = false;

  const server = http.createServer(
    {
      // The default of 300 s would kill every upload that takes longer.
      requestTimeout: 0,
      headersTimeout: headTimeoutMs,
      connectionsCheckingInterval: Math.min(headTimeoutMs, maxCheckIntervalMs),
      keepAliveTimeout: idleTimeoutMs,
      maxHeaderSize: 16 * KiB,
    },
    (request, response) => {
      track(request.socket, response);
      turns.take(request.socket, response, () => handler(request, response));
    },
  );
  // Else Node ends the connection with the client's half, before an answer that takes a while.
  Object.assign(server, { httpAllowHalfOpen: true });
  // Node begins to enforce headersTimeout when the server itself starts to listen, which this one never does.
  server.emit('listening');

  function track(socket: Socket, response: http.ServerResponse): void {
    responses.add(response);
    connections.get(socket)?.requestBegan();
    response.once('close', () => {
      responses.delete(response);
      connections.get(socket)?.requestEnded(response.writableFinished);
      if (draining) {
        socket.destroySoon();
      }
    });
    response.shouldKeepAlive &&= !draining;
  }

  return {
    take(socket, connection) {
      connections.set(socket, connection);
      // Node's own timeouts come first; they begin anew with each byte, which may be a line break between requests.
      connection.mayRest(idleTimeoutMs + headTimeoutMs, () => socket.destroy());
      server.emit('connection', socket);
    },

    drain() {
      draining = true;
      for (const response of responses) {
        response.shouldKeepAlive = false;
      }
      // Also closes the idle connections.
      server.close();
    },

    destroy() {},
  };
}
