import { z } from 'zod';
import { boundedFetch, type BoundedAnswer, type BoundedRequest } from '../bounded-fetch.ts';
import { parseJsonFile } from '../json-file.ts';

/** Larger answers are no tokens, in bytes: without its catalog one has some 1 KiB. */
const maxBytes = 1024 * 1024;

/** A token that Keystone has issued. */
export interface IssuedToken {
  readonly token: string;
  /** ms since 1970. */
  readonly expiresAtMs: number;
}

/** What Keystone says of a token. */
export type Validation =
  | { readonly kind: 'valid'; readonly body: string }
  | { readonly kind: 'not valid' }
  /** Of whom asks, or, where he is known all the same, of the token. */
  | { readonly kind: 'refused' };

/** Thrown where Keystone does not take the credentials of the service. */
export class OwnCredentialsRefusedError extends Error {
  override readonly name = 'OwnCredentialsRefusedError';
}

const issued = z.object({ token: z.object({ expires_at: z.iso.datetime() }) });

/**
 * The two calls of Keystone's Identity API v3 that the service makes. An error of theirs says why there is no answer that
 * says anything.
 */
export class KeystoneApi {
  readonly #url: string;

  /** @param url where Keystone is, with or without `/v3`. */
  constructor(url: string) {
    this.#url = `${url.replace(/\/+$/, '').replace(/\/v3$/, '')}/v3/auth/tokens?nocatalog`;
  }

  /**
   * Gets a token.
   *
   * @param auth the credentials, as the API has them.
   * @throws OwnCredentialsRefusedError; Error
   */
  async issue(auth: object, signal: AbortSignal): Promise<IssuedToken> {
    const { status, headers, text } = await this.#ask({
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ auth }),
      signal,
    });
    const token = headers.get('x-subject-token');
    if (status === 401 || status === 403) {
      throw new OwnCredentialsRefusedError(
        `it does not take the user and password, or the application credential, of this service (${status})`,
      );
    }
    if (status !== 201 || token === null) {
      throw new Error(`it answers with status ${status} where a token is asked for`);
    }
    return { token, expiresAtMs: Date.parse(parseJsonFile(text, issued).token.expires_at) };
  }

  /**
   * Asks what a token is worth.
   *
   * @param own the token of who asks.
   * @throws Error
   */
  async validate(own: string, subject: string, signal: AbortSignal): Promise<Validation> {
    const { status, text } = await this.#ask({
      headers: { 'x-auth-token': own, 'x-subject-token': subject },
      signal,
    });
    switch (status) {
      case 200:
        return { kind: 'valid', body: text };
      case 404:
        return { kind: 'not valid' };
      case 401:
        return { kind: 'refused' };
      case 403:
        throw new Error(
          'it does not let this service validate tokens (403): give its user the role "service"',
        );
      default:
        throw new Error(`it answers with status ${status}`);
    }
  }

  /** Twice where a connection breaks: one that rested may have been closed from the other side. */
  async #ask(request: Omit<BoundedRequest, 'maxBytes'>): Promise<BoundedAnswer> {
    const asked = {
      ...request,
      headers: { accept: 'application/json', ...request.headers },
      maxBytes,
    };
    try {
      return await boundedFetch(this.#url, asked);
    } catch (error) {
      if (request.signal.aborted) {
        throw error;
      }
      return boundedFetch(this.#url, asked);
    }
  }
}
