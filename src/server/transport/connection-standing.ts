import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { isHttp2, type NodeRequest } from './node-http.ts';
import type { PeerCertificate } from './verified-certificate.ts';

/** What is known of who is at the other end of a connection. */
export interface ConnectionStanding {
  /** The client's certificate, which was verified. */
  readonly certificate?: PeerCertificate | undefined;
  /** Why nothing that is asked on the connection is done; undefined where all is well. */
  readonly refusal?: DarkroomError | undefined;
}

const standings = new WeakMap<Socket | ServerHttp2Session, ConnectionStanding>();
const unknown: ConnectionStanding = {};

/** Remembers the standing of a connection for its requests. */
export function rememberStanding(socket: Socket, standing: ConnectionStanding): void {
  standings.set(socket, standing);
}

/** The same for the session of HTTP/2 on it. */
export function shareStanding(socket: Socket, session: ServerHttp2Session): void {
  const standing = standings.get(socket);
  if (standing !== undefined) {
    standings.set(session, standing);
  }
}

/** The standing of the connection that a request has come on. A call of HTTP/2 that has ended has none any more. */
export function standingOf(request: NodeRequest): ConnectionStanding {
  const connection = isHttp2(request) ? request.stream.session : request.socket;
  return connection === undefined
    ? { refusal: new DarkroomError('CONNECTION_LOST', 'the call has ended') }
    : (standings.get(connection as Socket | ServerHttp2Session) ?? unknown);
}
