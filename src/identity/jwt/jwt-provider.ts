import { decodeProtectedHeader, errors, jwtVerify, type JWTPayload } from 'jose';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import {
  credentialExpired,
  credentialInvalid,
  type Identity,
  type TokenProvider,
} from '../identity.ts';
import { claimedIdentity, type ClaimNames } from './claims.ts';
import type { Keys, KeySource } from './key-source.ts';
import { VerifiedTokens } from '../verified-tokens.ts';

/** Which tokens are good. */
export interface JwtOptions {
  readonly issuer: string;
  /** One of them has to be in the token. */
  readonly audience: readonly string[];
  readonly algorithms: readonly string[];
  readonly clockSkewMs: number;
  readonly claims: ClaimNames;
}

/** Knows callers by the JSON Web Tokens of one issuer (RFC 7519, RFC 9068). */
export class JwtProvider implements TokenProvider {
  readonly #options: JwtOptions;
  readonly #source: KeySource;
  readonly #verified = new VerifiedTokens();

  constructor(options: JwtOptions, openSource: (onChange: () => void) => KeySource) {
    this.#options = options;
    // A key that was withdrawn makes its tokens worth nothing.
    this.#source = openSource(() => this.#verified.forget());
  }

  takes(token: string): boolean {
    return /^[\w-]+\.[\w-]+\.[\w-]*$/.test(token);
  }

  identify(token: string): Identity | Promise<Identity> {
    const identity = this.#verified.identify(token, () => this.#identify(token));
    if (!(identity instanceof Promise) && identity.expiresAtMs <= Date.now()) {
      throw credentialExpired('the token');
    }
    return identity;
  }

  close(): void {
    this.#source.close();
  }

  async #identify(token: string): Promise<Identity> {
    const payload = await this.#payloadOf(token);
    const { exp } = payload;
    if (exp === undefined) {
      throw credentialInvalid('the token never expires');
    }
    return {
      ...claimedIdentity(payload, this.#options.claims),
      expiresAtMs: exp * 1000 + this.#options.clockSkewMs,
      isRevoked: false,
    };
  }

  async #payloadOf(token: string): Promise<JWTPayload> {
    const { kid, alg } = headerOf(token);
    if (alg === undefined || !this.#options.algorithms.includes(alg)) {
      throw credentialInvalid('the token is signed in a way that is not taken');
    }
    const first = await this.#verify(token, await this.#source.knownKeys());
    if (first !== 'key unknown') {
      return first;
    }
    const second = await this.#verify(token, await this.#source.fetchKeys());
    if (second === 'key unknown') {
      throw credentialInvalid(
        kid === undefined
          ? 'none of the keys of the identity provider has signed the token'
          : 'the identity provider has no key of the id that the token names',
      );
    }
    return second;
  }

  /** @throws DarkroomError CREDENTIAL_INVALID, CREDENTIAL_EXPIRED */
  async #verify(token: string, keys: Keys): Promise<JWTPayload | 'key unknown'> {
    const { issuer, audience, algorithms, clockSkewMs } = this.#options;
    const wanted = {
      issuer,
      audience: [...audience],
      algorithms: [...algorithms],
      clockTolerance: clockSkewMs / 1000,
      requiredClaims: ['exp'],
    };
    try {
      return (await jwtVerify(token, keys, wanted)).payload;
    } catch (error) {
      if (error instanceof errors.JWKSMultipleMatchingKeys) {
        for await (const key of error) {
          try {
            return (await jwtVerify(token, key, wanted)).payload;
          } catch (failure) {
            if (!(failure instanceof errors.JWSSignatureVerificationFailed)) {
              throw refusalOf(failure);
            }
          }
        }
        return 'key unknown';
      }
      // Without an id it may be a new key's, too.
      const isOfUnknownKey =
        error instanceof errors.JWKSNoMatchingKey ||
        (error instanceof errors.JWSSignatureVerificationFailed &&
          headerOf(token).kid === undefined);
      if (isOfUnknownKey) {
        return 'key unknown';
      }
      throw refusalOf(error);
    }
  }
}

function headerOf(token: string): { readonly kid?: string; readonly alg?: string } {
  try {
    return decodeProtectedHeader(token);
  } catch {
    throw credentialInvalid('the token is malformed');
  }
}

/** What is wrong with a token, without anything of it but names of claims. */
function refusalOf(error: unknown): Error {
  if (error instanceof errors.JWTExpired) {
    return credentialExpired('the token');
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    switch (error.claim) {
      case 'nbf':
        return new DarkroomError(
          'CREDENTIAL_EXPIRED',
          'the token does not hold yet; look whether the clocks agree, and try again',
        );
      case 'iss':
        return credentialInvalid('the token is of another issuer than the one that is trusted');
      case 'aud':
        return credentialInvalid('the token is for another audience than this service');
      case 'exp':
        return credentialInvalid('the token never expires');
      default:
        return credentialInvalid('a claim of the token makes no sense');
    }
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return credentialInvalid('the signature of the token is wrong');
  }
  return credentialInvalid('the token is malformed');
}
