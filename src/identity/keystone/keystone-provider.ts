import { decodeJwt } from 'jose';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { untilAborted } from '../../domain/abortable.ts';
import { Permits } from '../../domain/permits.ts';
import { reasonOf } from '../bounded-fetch.ts';
import {
  credentialExpired,
  credentialInvalid,
  type Identity,
  type TokenProvider,
} from '../identity.ts';
import { VerifiedTokens } from '../verified-tokens.ts';
import { KeystoneApi, type Validation } from './keystone-api.ts';
import { expiringSignal } from './expiring-signal.ts';
import { OwnToken, type OwnTokenOptions } from './own-token.ts';
import { identityIn, type RoleNames } from './token-body.ts';

/** Longer than any token of Keystone's, in characters, which fits into the head of a request there. */
const maxTokenLength = 3072;
/** So many questions are under way at once, and so many wait. */
const maxAsking = 16;
const maxWaiting = 1000;
/** What lasts is not asked about more often, in ms, however short tokens are remembered. */
const leastRecheckMs = 5000;
/** How often the log tells that Keystone is away, in ms. */
const tellingPauseMs = 60_000;
/** When to try again, in ms. */
const retryDelayMs = 2000;

/** How callers are known by a Keystone. */
export interface KeystoneOptions extends OwnTokenOptions {
  readonly url: string;
  readonly roles: RoleNames;
  /** For how long what it says of a token holds, in ms. */
  readonly cacheMs: number;
}

/**
 * Knows callers by the tokens of OpenStack's Keystone. Those are for Keystone alone to read, of whatever kind: what a JWS one
 * says is signed, but has no roles in it, and nothing says whether it was revoked. So Keystone is asked, and its answer is
 * remembered for a while.
 */
export class KeystoneProvider implements TokenProvider {
  readonly #options: KeystoneOptions;
  readonly #api: KeystoneApi;
  readonly #own: OwnToken;
  readonly #onWarning: (message: string) => void;
  readonly #verified: VerifiedTokens;
  readonly #permits = new Permits(maxAsking);
  readonly #closing = new AbortController();
  #waiting = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  /** @throws WatchedFileError */
  constructor(options: KeystoneOptions, onWarning: (message: string) => void) {
    this.#options = options;
    this.#onWarning = onWarning;
    this.#verified = new VerifiedTokens(options.cacheMs);
    this.#api = new KeystoneApi(options.url);
    this.#own = new OwnToken(this.#api, options, onWarning);
  }

  /** Fernet tokens, and others that say nothing; of JWS only those that say that they are Keystone's. */
  takes(token: string): boolean {
    if (!/^[\w-]+\.[\w-]+\.[\w-]*$/.test(token)) {
      return true;
    }
    try {
      return 'openstack_methods' in decodeJwt(token);
    } catch {
      return false;
    }
  }

  identify(token: string): Identity | Promise<Identity> {
    if (token.length > maxTokenLength) {
      throw credentialInvalid('the token is longer than those of Keystone');
    }
    const identity = this.#verified.identify(token, () => this.#identify(token));
    if (!(identity instanceof Promise) && identity.expiresAtMs <= Date.now()) {
      throw credentialExpired('the token');
    }
    return identity;
  }

  close(): void {
    this.#closing.abort();
    this.#own.close();
  }

  async #identify(token: string): Promise<Identity> {
    if (this.#waiting >= maxWaiting) {
      throw unavailable('too many wait for Keystone');
    }
    this.#waiting += 1;
    const { signal, end } = expiringSignal(this.#options.timeoutMs, this.#closing.signal);
    try {
      return await untilAborted(
        signal,
        this.#permits.run(() => this.#ask(token, signal)),
      );
    } catch (error) {
      if (error instanceof DarkroomError) {
        throw error;
      }
      this.#tell(error);
      throw unavailable('Keystone cannot be asked just now', error);
    } finally {
      end();
      this.#waiting -= 1;
    }
  }

  /** @throws DarkroomError CREDENTIAL_INVALID; Error where nothing can be said. */
  async #ask(token: string, signal: AbortSignal): Promise<Identity> {
    signal.throwIfAborted();
    const validation = await this.#validate(token, signal);
    if (validation.kind !== 'valid') {
      throw credentialInvalid('Keystone does not know the token, or not any more');
    }
    const { cacheMs, roles } = this.#options;
    const askAgainAtMs = Date.now() + Math.max(cacheMs, leastRecheckMs);
    return identityIn(validation.body, roles, askAgainAtMs);
  }

  /** @throws Error */
  async #validate(token: string, signal: AbortSignal): Promise<Validation> {
    const own = await this.#own.token();
    const first = await this.#api.validate(own, token, signal);
    if (first.kind !== 'refused') {
      return first;
    }
    // A token whose user has lost all roles is refused in the same way as who asks. Which of both it was, Keystone can say.
    const ofOwn = await this.#api.validate(own, own, signal);
    if (ofOwn.kind === 'valid') {
      return first;
    }
    const second = await this.#api.validate(await this.#own.another(own), token, signal);
    if (second.kind === 'refused') {
      throw new Error('it does not take the token that it has just issued to this service (401)');
    }
    return second;
  }

  /** Seldom, however many callers wait for Keystone. */
  #tell(error: unknown): void {
    const now = performance.now();
    if (!this.#closing.signal.aborted && now - this.#toldAtMs > tellingPauseMs) {
      this.#toldAtMs = now;
      this.#onWarning(
        `Keystone cannot be asked about tokens at ${this.#options.url}: ${reasonOf(error)}; those that are remembered go on`,
      );
    }
  }
}

function unavailable(why: string, cause?: unknown): DarkroomError {
  return new DarkroomError(
    'IDENTITY_UNAVAILABLE',
    `${why}, so the token cannot be checked; try again`,
    { retryDelayMs, cause },
  );
}
