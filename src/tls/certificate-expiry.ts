import type { X509Certificate } from 'node:crypto';
import { describeCertificate, type TlsFacts } from './check-tls-material.ts';

const day = 24 * 3600 * 1000;

/** A certificate is spoken of from so long before its end, in ms, or from a third of its life, which may be days only. */
const longestNotice = 14 * day;

/** Where it is told; pino fits. */
export interface ExpiryLogger {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Tells once a day of certificates that soon end, or have ended. */
export class CertificateExpiry {
  readonly #logger: ExpiryLogger;
  /** When each was last spoken of, by its fingerprint, in ms since 1970. */
  readonly #told = new Map<string, number>();

  constructor(logger: ExpiryLogger) {
    this.#logger = logger;
  }

  /** To be called every now and then. @param now ms since 1970 */
  look({ leaf, authorities }: TlsFacts, now: number): void {
    this.#lookAt(leaf, 'the certificate of the service', now);
    for (const authority of authorities) {
      this.#lookAt(authority, 'an authority for certificates of clients', now);
    }
  }

  #lookAt(certificate: X509Certificate, what: string, now: number): void {
    const end = certificate.validToDate.getTime();
    const notice = Math.min(longestNotice, (end - certificate.validFromDate.getTime()) / 3);
    const told = this.#told.get(certificate.fingerprint256);
    if (end - now > notice || (told !== undefined && now - told < day)) {
      return;
    }
    this.#told.set(certificate.fingerprint256, now);
    const fields = describeCertificate(certificate);
    if (end <= now) {
      this.#logger.error(fields, `${what} has expired, and is refused: replace it in its file now`);
    } else {
      this.#logger.warn(
        fields,
        `${what} expires soon: replace it in its file; it is taken without a restart`,
      );
    }
  }
}
