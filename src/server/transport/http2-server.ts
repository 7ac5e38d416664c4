import * as http2 from 'node:http2';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { shareStanding } from './connection-standing.ts';
import type { Connection } from './connections.ts';
import type { DeadPeers } from './dead-peers.ts';
import { FairTurns } from './fair-turns.ts';
import { limitFrames, type FrameFlood, type FrameLimits } from './frame-limit.ts';
import type { RequestHandler } from './node-http.ts';
import type { ProtocolServer, ProtocolServerOptions } from './protocol-server.ts';
import { ReceiveWindows, type ReceiveWindowLimits } from './receive-windows.ts';
import { isAnswered, limitResets, type GivenUpCallLimits } from './reset-limit.ts';
import { isOffence, tellOffences } from './session-end.ts';

/** Node counts what a session holds in these, in bytes. */
const MB = 1_000_000;

/** Most of such calls that a client may send in one go: there is no use in it, and each costs some 25 µs at once. */
const resetsPerTurn = 64;

/** A client that is told to go has so long to close its connection, in ms. */
const lingerMs = 1000;

/** What connections of HTTP/2 may hold and send. */
export interface Http2Limits extends GivenUpCallLimits, FrameLimits, ReceiveWindowLimits {
  /** How much may wait to be sent, heads included, in bytes: above it calls are refused. */
  readonly maxUnsentBytes: number;
}

/** Speaks HTTP/2 on connections that it is given. */
export function http2Server(
  handler: RequestHandler,
  options: ProtocolServerOptions &
    Http2Limits & { readonly deadPeers: DeadPeers; readonly logger: Logger },
): ProtocolServer {
  const { headTimeoutMs, idleTimeoutMs, deadPeers, logger, refusedRequests } = options;
  const { maxConcurrentStreams, maxGivenUpCalls, maxGivenUpCallsPerSecond } = options;
  const sessions = new Set<http2.ServerHttp2Session>();
  const windows = new ReceiveWindows(options);
  const turns = new FairTurns();
  /** Whose each session is. */
  const peers = new WeakMap<object, object>();
  let draining = false;

  const server = http2.createServer(
    {
      settings: {
        initialWindowSize: windows.initialBytes,
        maxConcurrentStreams,
        maxHeaderListSize: options.maxHeaderBytes,
      },
      // The four that say what is asked for are among them.
      maxHeaderListPairs: options.maxHeaders + 4,
      maxSessionMemory: Math.ceil(options.maxUnsentBytes / MB),
      // nghttp2's own limit counts calls of any age and says INTERNAL_ERROR. It stays behind `limitResets`, which hears of
      // resets when a read is done: 64 KiB may hold some 2,400.
      streamResetBurst: 20 * maxGivenUpCalls,
      streamResetRate: 20 * maxGivenUpCallsPerSecond,
    },
    (request, response) => {
      // Not before all that came with the head is read: a call that its client has given up by then is not begun, and a
      // body that was with it has ended.
      turns.take(peers.get(request.stream.session ?? server) ?? server, () => {
        if (!request.stream.closed && !request.stream.destroyed) {
          windows.callBegins(request.stream);
          handler(request, response);
        }
      });
    },
  );
  server.on('sessionError', (error) => logger.debug({ err: error }, 'HTTP/2 session broke'));

  function watch(session: http2.ServerHttp2Session, socket: Socket, connection: Connection): void {
    windows.watch(session, socket);
    tellOffences(session);
    peers.set(session, connection.peer);
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

    limitFrames(session, socket, options, (flood) => {
      logger.info({ peer }, `connection ended: it sent too many frames of the type ${flood}`);
      connection.flooded();
      endCalmly(session, flood);
    });

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
    // One for all calls of the connection: a function takes 0.1 KiB of each watcher.
    function onEnd(this: http2.ServerHttp2Stream): void {
      connection.requestEnded(isAnswered(this));
    }
    session.on('stream', (stream, _headers, _flags, rawHeaders) => {
      // nghttp2 holds a client to what it was told only when it has said that it knows.
      if (headBytes(rawHeaders) > options.maxHeaderBytes) {
        stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
        return;
      }
      const limit = connection.requestBegan();
      if (limit === undefined) {
        stream.on('close', onEnd);
      } else {
        refusedRequests.refuse(limit, peer);
        stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
      }
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

/** The size of a head as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113, section 6.5.2). */
function headBytes(rawHeaders: readonly string[]): number {
  let bytes = (rawHeaders.length / 2) * 32;
  for (const text of rawHeaders) {
    bytes += text.length;
  }
  return bytes;
}

/** Ends a session for a flood of frames. Clients of gRPC ping less from then on when they read the text of the first. */
function endCalmly(session: http2.ServerHttp2Session, flood: FrameFlood): void {
  const code = http2.constants.NGHTTP2_ENHANCE_YOUR_CALM;
  const text = flood === 'PING' ? 'too_many_pings' : 'too_many_settings';
  session.goaway(code, 0, Buffer.from(text));
  session.destroy(new Error(`the client sent too many frames of the type ${flood}`), code);
}
