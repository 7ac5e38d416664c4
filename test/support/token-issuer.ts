import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type JWK, type JWTPayload } from 'jose';

/** What a token says and how, where it is not as it should be. */
export interface TokenWishes {
  readonly claims?: JWTPayload;
  /** s from now; an hour if not set, and none for null. */
  readonly expiresIn?: number | null;
  readonly signature?: 'none' | 'by the public key' | 'of a stranger';
  /** Empty for none. */
  readonly kid?: string;
}

/** Makes JSON Web Tokens, as an identity provider does. */
export interface TokenIssuer {
  readonly issuer: string;
  readonly audience: string;
  /** The text of its JSON Web Key Set. */
  readonly keySet: string;
  /** The settings of a service that trusts it, but for where its keys are. */
  readonly settings: Readonly<Record<string, string>>;
  token(wishes?: TokenWishes): Promise<string>;
}

/** An issuer with a key of its own. */
export async function makeIssuer(kid = 'first', algorithm = 'ES256'): Promise<TokenIssuer> {
  const issuer = 'https://issuer.test';
  const audience = 'darkroom.test';
  const { privateKey, publicKey } = await generateKeyPair(algorithm);
  const stranger = await generateKeyPair(algorithm);
  const jwk: JWK = { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' };
  const keySet = JSON.stringify({ keys: [jwk] });
  return {
    issuer,
    audience,
    keySet,
    settings: { DARKROOM_JWT_ISSUER: issuer, DARKROOM_JWT_AUDIENCE: audience },
    token({ claims = {}, expiresIn = 3600, signature, kid: named = kid } = {}) {
      const now = Math.floor(Date.now() / 1000);
      const payload: JWTPayload = {
        iss: issuer,
        aud: audience,
        sub: 'ann',
        iat: now,
        project: 'garden',
        roles: ['member'],
        ...(expiresIn !== null && { exp: now + expiresIn }),
        ...claims,
      };
      const id = named === '' ? {} : { kid: named };
      if (signature === 'none') {
        return Promise.resolve(new UnsecuredJWT(payload).encode());
      }
      if (signature === 'by the public key') {
        const secret = new TextEncoder().encode(JSON.stringify(jwk));
        return new SignJWT(payload).setProtectedHeader({ alg: 'HS256', ...id }).sign(secret);
      }
      const key = signature === 'of a stranger' ? stranger.privateKey : privateKey;
      return new SignJWT(payload).setProtectedHeader({ alg: algorithm, ...id }).sign(key);
    },
  };
}
