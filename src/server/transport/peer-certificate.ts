import { standingOf } from './connection-standing.ts';
import type { NodeRequest } from './node-http.ts';
import type { PeerCertificate } from './verified-certificate.ts';

export type { PeerCertificate } from './verified-certificate.ts';

/**
 * The verified certificate of who makes a request; undefined where the client has shown none, or the port speaks no TLS. One
 * that does not verify never gets here: all that is asked with it is refused before. To be asked when the request begins; a
 * call of HTTP/2 that has ended knows its connection no more.
 */
export function peerCertificate(request: NodeRequest): PeerCertificate | undefined {
  return standingOf(request).certificate;
}
