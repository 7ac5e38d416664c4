import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { z } from 'zod';
import { parseJsonFile } from '../json-file.ts';

/** Finds the key that has signed a token, by its header. */
export type Keys = JWTVerifyGetKey;

/** Where the public keys of an issuer come from. */
export interface KeySource {
  /**
   * The keys as they are known: at once, unless none ever were.
   *
   * @throws DarkroomError IDENTITY_UNAVAILABLE, by rejection.
   */
  knownKeys(): Keys | Promise<Keys>;
  /**
   * The keys as the issuer has them now, so that a key that is in none of them is nobody's.
   *
   * @throws DarkroomError IDENTITY_UNAVAILABLE where that cannot be told just now.
   */
  fetchKeys(): Promise<Keys>;
  close(): void;
}

const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).min(1) });

/** Reads a JSON Web Key Set (RFC 7517, section 5). @throws Error that says why it is none. */
export function parseKeySet(text: string): Keys {
  return createLocalJWKSet(parseJsonFile(text, keySet) as JSONWebKeySet);
}
