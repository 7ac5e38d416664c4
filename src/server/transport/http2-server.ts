import * as http2 from 'node:http2';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { shareStanding } from './connection-standing.ts';
import type { Connection } from './connections.ts';
import type { DeadPeers } from './dead-peers.ts';
import type { RequestHandler } from './node-http.ts';
import type { ProtocolServer, ProtocolServerOptions } from './protocol-server.ts';
import { ReceiveWindows, type ReceiveWindowLimits } from './receive-windows.ts';
import { isAnswered, limitResets, type GivenUpCallLimits } from './reset-limit.ts';

const KiB = 1024;

/** Calls that one connection may have open: each holds what the handler has for it, and its window of what was not read. */
const maxConcurrentStreams = 256;

/** Most of such calls that a client may send in one go: there is no use in it, and each costs some 25 µs at once. */
const resetsPerTurn = 64;

/** A client that is told to go has so long to close its connection, in ms. */
const lingerMs = 1000;

/** Speaks HTTP/2 on connections that it is given. */
export function http2Server(
  handler: RequestHandler,
  {
    headTimeoutMs,
    idleTimeoutMs,
    maxGivenUpCalls,
    maxGivenUpCallsPerSecond,
    maxStreamWindowBytes,
    maxUnreadBytes,
    deadPeers,
    logger,
  }: ProtocolServerOptions &
    GivenUpCallLimits &
    ReceiveWindowLimits & { readonly deadPeers: DeadPeers; readonly logger: Logger },
): ProtocolServer {
  const sessions = new Set<http2.ServerHttp2Session>();
  const windows = new ReceiveWindows({ maxStreamWindowBytes, maxUnreadBytes });
  let draining = false;

  const server = http2.createServer(
    {
      settings: {
        initialWindowSize: windows.initialBytes,
        maxConcurrentStreams,
        maxHeaderListSize: 64 * KiB,
      },
      // In MB. The default of 10 counts what waits to be sent: ten downloads of 1 MiB chunks to slow readers
      // would have new calls of that client refused.
      maxSessionMemory: 256,
      // nghttp2's own limit counts calls of any age and says INTERNAL_ERROR. It stays behind `limitResets`, which hears of
      // resets when a read is done: 64 KiB may hold some 2,400.
      streamResetBurst: 20 * maxGivenUpCalls,
      streamResetRate: 20 * maxGivenUpCallsPerSecond,
    },
    (request, response) => {
      // Not before all that came with the head is read: a call that its client has given up by then is not begun, and a
      // body that was with it has ended.
      setImmediate(() => {
        if (!request.stream.destroyed) {
          windows.callBegins(request.stream);
          handler(request, response);
        }
      });
    },
  );
  server.on('sessionError', (error) => logger.debug({ err: error }, 'HTTP/2 session broke'));

  function watch(session: http2.ServerHttp2Session, socket: Socket, connection: Connection): void {
    windows.watch(session, socket);
    shareStanding(socket, session);
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    deadPeers.watch(session);
    const peer = socket.remoteAddress;
    limitResets(
      session,
      {
        maxGivenUpCalls,
        maxGivenUpCallsPerSecond,
        perTurn: resetsPerTurn,
        maxConcurrentStreams,
      },
      () => {
        logger.info({ peer }, 'connection ended: it gave up too many calls that it had just begun');
        connection.flooded();
      },
    );

    session.once('error', (error) => {
      if (isOffence(error)) {
        connection.flooded();
      }
    });

    connection.mayRest(headTimeoutMs, () =>
      session.destroy(
        new Error('the client did not begin in time'),
        http2.constants.NGHTTP2_SETTINGS_TIMEOUT,
      ),
    );
    session.once('remoteSettings', () =>
      connection.mayRest(idleTimeoutMs, () => {
        session.close();
        const timer = setTimeout(() => socket.destroy(), lingerMs);
        socket.once('close', () => clearTimeout(timer));
      }),
    );
    session.on('stream', (stream) => {
      connection.requestBegan();
      stream.on('close', () => connection.requestEnded(isAnswered(stream)));
    });
    if (draining) {
      session.close();
    }
  }

  return {
    take(socket, connection) {
      // A client that ended its side of an HTTP/2 connection can send no more window updates nor acks.
      socket.allowHalfOpen = false;
      server.once('session', (session) => watch(session, socket, connection));
      server.emit('connection', socket);
    },

    drain() {
      draining = true;
      for (const session of sessions) {
        session.close();
      }
    },

    destroy() {
      for (const session of sessions) {
        session.destroy();
      }
    },
  };
}

/**
 * Whether a connection ended because of what its client sent: nghttp2 tells a flood, of frames that it bounds or of
 * unknown ones, as an error of the protocol.
 */
function isOffence(error: Error): boolean {
  return 'code' in error && String(error.code).startsWith('ERR_HTTP2_');
}
