import { hash, randomBytes, timingSafeEqual } from 'node:crypto';

/**
 * Static tokens as they are written: `dkr_<id>_<secret>`. The prefix lets scanners for leaked secrets find them; the id, which
 * is none, says which one it is. The secret has 256 random bits, so that a plain SHA-256 of it cannot be guessed from.
 */
const form = /^dkr_([0-9a-f]{12})_([\w-]{43})$/;

/** A token in its parts. */
export interface TokenParts {
  readonly id: string;
  readonly secret: string;
}

/** Whether a token says that it is a static one. */
export function isStaticToken(token: string): boolean {
  return token.startsWith('dkr_');
}

/** The parts of a token; undefined if it is none. */
export function parseToken(token: string): TokenParts | undefined {
  const [, id, secret] = form.exec(token) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** A token that there never was. */
export function newToken(): TokenParts & { readonly token: string } {
  const id = randomBytes(6).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  return { id, secret, token: `dkr_${id}_${secret}` };
}

/** What is kept of a secret: its SHA-256, in hex. */
export function hashOf(secret: string): string {
  return hash('sha256', secret, 'hex');
}

/** Whether a secret has this hash, of 32 bytes; takes as long whatever it is. */
export function hasHash(secret: string, sha256: Uint8Array): boolean {
  return timingSafeEqual(hash('sha256', secret, 'buffer'), sha256);
}
