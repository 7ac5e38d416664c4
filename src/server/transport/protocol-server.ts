import type { Socket } from 'node:net';
import type { Connection, ConnectionLimits } from './connections.ts';
import type { RefusedRequests } from './refused-requests.ts';

/** What the requests of one connection may be. */
export interface RequestLimits {
  /** How many may be open at the same time; over HTTP/1.1 all but one of them wait. */
  readonly maxConcurrentStreams: number;
  /**
   * How large the head of one may be, in bytes: all names and values together; over HTTP/2 32 more for each (RFC 9113, section
   * 6.5.2), over HTTP/1.1 the first line, too.
   */
  readonly maxHeaderBytes: number;
  /** How many fields the head of one may have. */
  readonly maxHeaders: number;
}

/** What the servers of both protocols have to keep to. */
export interface ProtocolServerOptions
  extends RequestLimits, Pick<ConnectionLimits, 'headTimeoutMs' | 'idleTimeoutMs'> {
  readonly refusedRequests: RefusedRequests;
}

/** Speaks one protocol on connections whose first bytes have told it. */
export interface ProtocolServer {
  /** Speaks it on this one. */
  take(socket: Socket, connection: Connection): void;
  /** Ends connections as soon as they have no request, and tells their clients to go elsewhere. */
  drain(): void;
  /** Ends what a client must be told at once. */
  destroy(): void;
}
