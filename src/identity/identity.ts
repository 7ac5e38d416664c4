import type { Role } from '../access/caller.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';

/** Whom a credential stands for. */
export interface Identity {
  readonly userId: string;
  /** The project that it belongs to; undefined for one that has none, which can only act as a service. */
  readonly projectId: string | undefined;
  /** Why it may act for no project at all, not even as a service, as a clause; undefined where it may. */
  readonly ofNoProject?: string | undefined;
  /** All that it has; one that has none may call only what is everybody's. */
  readonly roles: readonly Role[];
  /** When the credential's time is over, in ms since 1970; Infinity for never. */
  readonly expiresAtMs: number;
  /** Whether the credential was taken back, which may happen at any time. */
  readonly isRevoked: boolean;
  /**
   * From when on its provider has to be asked again whether the credential still holds, in ms since 1970; undefined where the
   * provider tells that by `isRevoked`.
   */
  readonly askAgainAtMs?: number | undefined;
}

/** Something by which a caller can be known, as the network brought it. */
export interface Credentials {
  /** The text of the `authorization` header. */
  readonly authorization: string | undefined;
  /** Names in the certificate that the client has proven to have; none where it has none. */
  readonly certificateNames: () => CertificateNames | undefined;
}

/** The subject alternative names of a client certificate that was verified, and when its time is over. */
export interface CertificateNames {
  /** As `URI:spiffe://example.com/nova`, `DNS:nova.example.com`, `email:nova@example.com`, `IP:192.0.2.7`. */
  readonly names: readonly string[];
  /** ms since 1970. */
  readonly expiresAtMs: number;
}

/** Knows callers by tokens of one kind. */
export interface TokenProvider {
  /** Whether a token is of its kind, whatever it is worth. */
  takes(token: string): boolean;
  /**
   * Whom a token stands for: at once where that can be told at once.
   *
   * @throws DarkroomError CREDENTIAL_INVALID, CREDENTIAL_EXPIRED, IDENTITY_UNAVAILABLE; by rejection too.
   */
  identify(token: string): Identity | Promise<Identity>;
}

/** Knows callers by their certificates. */
export interface CertificateProvider {
  /** @throws DarkroomError CREDENTIAL_INVALID, CREDENTIAL_EXPIRED */
  identify(certificate: CertificateNames): Identity;
}

/** The error for a credential that is worth nothing. @param why a clause; never the credential itself. */
export function credentialInvalid(why: string, cause?: unknown): DarkroomError {
  return new DarkroomError('CREDENTIAL_INVALID', `${why}; get a new one and try again`, { cause });
}

/** The error for a credential whose time is over. @param what such as "the token". */
export function credentialExpired(what: string): DarkroomError {
  return new DarkroomError(
    'CREDENTIAL_EXPIRED',
    `${what} has expired; get a new one and try again`,
  );
}

/** Whether a credential stands for the same as before. */
export function isSameIdentity(before: Identity, now: Identity): boolean {
  const facts = ({ userId, projectId, ofNoProject, roles }: Identity): string =>
    JSON.stringify([userId, projectId, ofNoProject, roles]);
  return facts(before) === facts(now);
}

/** Why an identity that was good is so no more; undefined while it is. */
export function endOfIdentity(identity: Identity, nowMs: number): DarkroomError | undefined {
  if (identity.isRevoked) {
    return credentialInvalid('the credential was revoked');
  }
  return identity.expiresAtMs <= nowMs ? credentialExpired('the credential') : undefined;
}
