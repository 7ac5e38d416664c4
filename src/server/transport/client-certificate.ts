import type { TLSSocket } from 'node:tls';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { quoted } from '../../domain/quoted.ts';
import type { ConnectionStanding } from './connection-standing.ts';
import { describePeer } from './verified-certificate.ts';

/** Whether a client may come without a certificate. */
export type ClientAuth = 'required' | 'optional';

/** What Node says of a certificate that did not verify, as sentences that complete "the certificate …". */
const sentences: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired, or an authority above it has: renew it',
  CERT_NOT_YET_VALID: 'is not valid yet: look at the clocks of both machines',
  CERT_SIGNATURE_FAILURE: 'is not signed by who it says: have another made',
  CERT_REVOKED: 'was taken back by its authority: have a new one made',
  UNABLE_TO_GET_CRL:
    'cannot be looked up: DARKROOM_TLS_CLIENT_CRL_FILE has no list of the authority that made it, or of one above that; an ' +
    'operator has to add it',
  CRL_HAS_EXPIRED:
    'cannot be looked up: the list in DARKROOM_TLS_CLIENT_CRL_FILE was to be replaced by now; an operator has to do so',
  CRL_NOT_YET_VALID:
    'cannot be looked up: the list in DARKROOM_TLS_CLIENT_CRL_FILE is not valid yet; look at the clocks of both machines',
  CRL_SIGNATURE_FAILURE:
    'cannot be looked up: the list in DARKROOM_TLS_CLIENT_CRL_FILE is not signed by its authority; an operator has to replace it',
  INVALID_PURPOSE: 'is not for clients: have one made with the extended key usage clientAuth',
};
const unknownAuthority =
  'is not vouched for by any authority of DARKROOM_TLS_CLIENT_CA_FILE: show one that is, and those between it and the root';

/**
 * Looks at what a client has shown in its handshake. A certificate that is not good is refused even where none is needed: who
 * shows one means it.
 *
 * Node's TLS lets every handshake succeed and leaves the verdict to its user, so this is the place where it is given. The
 * client is told in the answer to each of its requests, and not by an alert of TLS: an alert is no more than a number, and in
 * TLS 1.3, where the client is done before the server, it is lost if the client has sent its request by then. Nor by a GOAWAY:
 * clients of gRPC come back for ever then.
 */
export function standingByCertificate(
  socket: TLSSocket,
  clientAuth: ClientAuth,
): ConnectionStanding {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) {
    return clientAuth === 'optional'
      ? {}
      : refused(
          'the service asks for a certificate of the client, and none was shown: show one that an authority of ' +
            'DARKROOM_TLS_CLIENT_CA_FILE vouches for',
        );
  }
  // A session that is resumed is not verified again, and its certificate may have expired since.
  const problem = socket.authorized
    ? certificate.validToDate.getTime() < Date.now()
      ? 'CERT_HAS_EXPIRED'
      : undefined
    : String(socket.authorizationError);
  if (problem === undefined) {
    return { certificate: describePeer(certificate) };
  }
  const subject = quoted(certificate.subject.replaceAll('\n', ', '));
  return refused(
    `the client's certificate ${subject} ${sentences[problem] ?? unknownAuthority} (${problem})`,
  );
}

function refused(message: string): ConnectionStanding {
  return { refusal: new DarkroomError('CLIENT_CERTIFICATE_REFUSED', message) };
}
