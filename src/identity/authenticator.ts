import { DarkroomError } from '../domain/darkroom-error.ts';
import {
  credentialInvalid,
  type CertificateProvider,
  type Credentials,
  type Identity,
  type TokenProvider,
} from './identity.ts';

/** What the service knows callers by. */
export interface IdentityProviders {
  readonly tokens: readonly TokenProvider[];
  readonly certificates?: CertificateProvider | undefined;
}

/** As RFC 6750, section 2.1, has it, and RFC 9110 the scheme in any case. */
const bearer = /^bearer +([\w\-.~+/]+=*)$/i;

/** Longer than any token that is of use, in characters: what is longer is not even looked at. */
const maxTokenLength = 16 * 1024;

/**
 * Tells whom a request's credentials stand for, by the provider for their kind. Who sends a token is known by it alone,
 * whatever certificate its connection has: it is the nearer of the two.
 */
export class Authenticator {
  readonly #providers: IdentityProviders;

  constructor(providers: IdentityProviders) {
    this.#providers = providers;
  }

  /**
   * At once where that can be told at once.
   *
   * @throws DarkroomError CREDENTIAL_MISSING, CREDENTIAL_INVALID, CREDENTIAL_EXPIRED, IDENTITY_UNAVAILABLE; by rejection too.
   */
  identify({ authorization, certificateNames }: Credentials): Identity | Promise<Identity> {
    if (authorization !== undefined) {
      return this.#byToken(authorization);
    }
    const certificate = this.#providers.certificates && certificateNames();
    if (this.#providers.certificates !== undefined && certificate !== undefined) {
      return this.#providers.certificates.identify(certificate);
    }
    throw new DarkroomError(
      'CREDENTIAL_MISSING',
      'the service has to know who calls: send a token, as "authorization: Bearer <token>"' +
        (this.#providers.certificates ? ', or use a client certificate' : ''),
    );
  }

  #byToken(authorization: string): Identity | Promise<Identity> {
    const token =
      authorization.length > maxTokenLength ? undefined : bearer.exec(authorization)?.[1];
    if (token === undefined) {
      throw credentialInvalid('the authorization header is not of the form "Bearer <token>"');
    }
    const provider = this.#providers.tokens.find((one) => one.takes(token));
    if (provider === undefined) {
      throw credentialInvalid('the token is of no kind that this service takes');
    }
    return provider.identify(token);
  }
}
