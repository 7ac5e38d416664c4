import type { Socket } from 'node:net';
import type { Connection, ConnectionLimits } from './connections.ts';

/** What the servers of both protocols have to keep to. */
export type ProtocolServerOptions = Pick<ConnectionLimits, 'headTimeoutMs' | 'idleTimeoutMs'>;

/** Speaks one protocol on connections whose first bytes have told it. */
export interface ProtocolServer {
  /** Speaks it on this one. */
  take(socket: Socket, connection: Connection): void;
  /** Ends connections as soon as they have no request, and tells their clients to go elsewhere. */
  drain(): void;
  /** Ends what a client must be told at once. */
  destroy(): void;
}
