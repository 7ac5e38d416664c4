import * as http from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Connection } from './connections.ts';
import type { RequestHandler } from './node-http.ts';
import type { ProtocolServer, ProtocolServerOptions } from './protocol-server.ts';
import type { RequestLimit } from './refused-requests.ts';
import { bodyWanted } from './request-body.ts';
import { RequestTurns } from './request-turns.ts';

/** How often heads that take too long are looked for, at most, in ms. */
const maxCheckIntervalMs = 5000;

/** Speaks HTTP/1.1 on connections that it is given. */
export function http1Server(
  handler: RequestHandler,
  {
    headTimeoutMs,
    idleTimeoutMs,
    maxConcurrentStreams,
    maxHeaderBytes,
    maxHeaders,
    refusedRequests,
    logger,
  }: ProtocolServerOptions & { readonly logger: Logger },
): ProtocolServer {
  const responses = new Set<http.ServerResponse>();
  const connections = new WeakMap<Socket, Connection>();
  const turns = new RequestTurns(maxConcurrentStreams, (socket) => {
    logger.info(
      { peer: socket.remoteAddress },
      'connection ended: it sent too many requests ahead of their answers',
    );
    connections.get(socket)?.flooded();
  });
  let draining = false;

  const server = http.createServer(
    {
      // The default of 300 s would kill every upload that takes longer.
      requestTimeout: 0,
      headersTimeout: headTimeoutMs,
      connectionsCheckingInterval: Math.min(headTimeoutMs, maxCheckIntervalMs),
      keepAliveTimeout: idleTimeoutMs,
      maxHeaderSize: maxHeaderBytes,
    },
    (request, response) => {
      const { socket } = request;
      if (turns.isAfterLast(socket)) {
        return;
      }
      if (request.rawHeaders.length / 2 > maxHeaders) {
        refuse(socket, () => response.writeHead(431, { connection: 'close' }).end());
        return;
      }
      const limit = begin(socket);
      if (limit !== undefined) {
        const { headers, body } = refusedRequests.refuse(limit, socket.remoteAddress);
        refuse(socket, () => response.writeHead(503, headers).end(body));
        return;
      }
      track(socket, response);
      turns.take(socket, response, () => handler(request, response));
    },
  );
  // Who asks whether to send a body learns of a refusal before it sends any of it.
  server.on('checkContinue', (request: http.IncomingMessage, response: http.ServerResponse) => {
    request.once(bodyWanted, () => {
      if (!response.headersSent) {
        response.writeContinue();
      }
    });
    server.emit('request', request, response);
  });
  // Node leaves out those above its limit without a word.
  server.maxHeadersCount = maxHeaders + 1;
  // Else Node ends the connection with the client's half, before an answer that takes a while.
  Object.assign(server, { httpAllowHalfOpen: true });
  // Node begins to enforce headersTimeout when the server itself starts to listen, which this one never does.
  server.emit('listening');

  function begin(socket: Socket): RequestLimit | undefined {
    return turns.hasRoom(socket) ? connections.get(socket)?.requestBegan() : 'maxConcurrentStreams';
  }

  /** Answers in the request's turn, and then closes the connection: where its body ends is not waited for. */
  function refuse(socket: Socket, answer: () => void): void {
    turns.takeLast(socket);
    answer();
  }

  function track(socket: Socket, response: http.ServerResponse): void {
    responses.add(response);
    response.once('close', () => {
      responses.delete(response);
      connections.get(socket)?.requestEnded(response.writableFinished);
      if (draining && !socket.destroyed) {
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
