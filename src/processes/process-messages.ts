import type { PortAddress } from '../runtime/port.ts';
import type { TlsMaterial } from '../tls/tls-material.ts';

/** What the first process tells the others. */
export type GroupMessage =
  /** First of all: where clients connect, and with what TLS is spoken, if it is. */
  | ({
      readonly kind: 'start';
      readonly tls?: { readonly material: TlsMaterial; readonly ticketSecret: string };
    } & PortAddress)
  /** What TLS is spoken with from now on. */
  | { readonly kind: 'tls'; readonly material: TlsMaterial }
  /** Where the embedded PostgreSQL is. */
  | { readonly kind: 'database'; readonly url: string }
  /** Comes with the connection of a client. */
  | { readonly kind: 'connection' }
  | { readonly kind: 'stop' };

/** What one of the others tells the first. */
export type MemberMessage =
  /** Health is answered on connections from now on. */
  | { readonly kind: 'listening' }
  /** The last connection has come. */
  | { readonly kind: 'taken' }
  | { readonly kind: 'ready' }
  /** It could not start, and ends. */
  | {
      readonly kind: 'failed';
      /** For people. */
      readonly message: string;
      readonly stack: string | undefined;
      readonly exitCode: number;
    };
