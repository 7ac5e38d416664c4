import type { X509Certificate } from 'node:crypto';
import { describeCertificate, type TlsFacts } from './check-tls-material.ts';
import type { RevocationList } from './revocation-lists.ts';

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
  /** When each was last spoken of, by what tells it from others, in ms since 1970. */
  readonly #told = new Map<string, number>();

  constructor(logger: ExpiryLogger) {
    this.#logger = logger;
  }

  /** To be called every now and then. @param now ms since 1970 */
  look({ leaf, authorities, revocationLists }: TlsFacts, now: number): void {
    this.#lookAt(leaf, 'the certificate of the service', now);
    for (const authority of authorities) {
      this.#lookAt(authority, 'an authority for certificates of clients', now);
    }
    for (const list of revocationLists) {
      this.#lookAtList(list, now);
    }
  }

  #lookAtList({ issuer, thisUpdate, nextUpdate }: RevocationList, now: number): void {
    const end = nextUpdate.getTime();
    const key = `${issuer} ${end}`;
    if (!this.#isDue(key, end, thisUpdate.getTime(), now)) {
      return;
    }
    const fields = { nextUpdate: nextUpdate.toISOString() };
    if (end <= now) {
      this.#logger.error(
        fields,
        'a list of revoked certificates was to be replaced by now, and all clients of its authority are refused: fetch the present one',
      );
    } else {
      this.#logger.warn(
        fields,
        'a list of revoked certificates has to be replaced soon, or all clients of its authority are refused; it is taken without a restart',
      );
    }
  }

  /** Whether it is time to speak of something that ends; then it is spoken of. */
  #isDue(key: string, end: number, begin: number, now: number): boolean {
    const notice = Math.min(longestNotice, (end - begin) / 3);
    const told = this.#told.get(key);
    if (end - now > notice || (told !== undefined && now - told < day)) {
      return false;
    }
    this.#told.set(key, now);
    return true;
  }

  #lookAt(certificate: X509Certificate, what: string, now: number): void {
    const end = certificate.validToDate.getTime();
    const begin = certificate.validFromDate.getTime();
    if (!this.#isDue(certificate.fingerprint256, end, begin, now)) {
      return;
    }
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
