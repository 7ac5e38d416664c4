import type { X509Certificate } from 'node:crypto';
import { alternativeNames, type AlternativeNames } from '../../tls/alternative-names.ts';

/** A certificate of a client that the authorities of `DARKROOM_TLS_CLIENT_CA_FILE` vouch for. */
export interface PeerCertificate extends AlternativeNames {
  /** The common name of its subject; undefined where it has none, or several. */
  readonly commonName: string | undefined;
  /** SHA-256 of it, as hexadecimal bytes with colons between. */
  readonly fingerprint256: string;
  /** Until when it is valid. A connection may live longer. */
  readonly validUntil: Date;
}

/** What is told of a certificate that was verified. */
export function describePeer(certificate: X509Certificate): PeerCertificate {
  // Not from `subject`, whose lines hold what the certificate's owner chose.
  const name: unknown = certificate.toLegacyObject().subject?.CN;
  return {
    ...alternativeNames(certificate.subjectAltName),
    commonName: typeof name === 'string' && name !== '' ? name : undefined,
    fingerprint256: certificate.fingerprint256,
    validUntil: certificate.validToDate,
  };
}
