import { hash } from 'node:crypto';
import type { Identity } from './identity.ts';

/** As many tokens are remembered; some 0.5 KiB each. */
const maxTokens = 10_000;

/** What is known of a token: whom it stands for, or that this is being asked. */
interface Remembered {
  readonly identity: Identity | Promise<Identity>;
  /** As `performance.now()` counts. */
  readonly untilMs: number;
}

/**
 * Tokens that were verified, so that the next call with one of them need not verify it again: a
 * signature took 0.5 ms, most of it waiting for a thread, and the hash 3 µs. Kept by their hashes, so that they are nowhere in memory.
 */
export class VerifiedTokens {
  readonly #known = new Map<string, Remembered>();
  readonly #maxAgeMs: number;

  /** @param maxAgeMs for how long a token is remembered, in ms; for ever if not set. */
  constructor(maxAgeMs = Number.POSITIVE_INFINITY) {
    this.#maxAgeMs = maxAgeMs;
  }

  /** Whom a token stands for, by `verify` unless it is known; for callers at the same time, once. */
  identify(token: string, verify: () => Promise<Identity>): Identity | Promise<Identity> {
    const key = hash('sha256', token, 'base64');
    const known = this.#known.get(key);
    if (known !== undefined && performance.now() < known.untilMs) {
      return known.identity;
    }
    const identity = verify();
    const verifying: Remembered = { identity, untilMs: Number.POSITIVE_INFINITY };
    this.#keep(key, verifying);
    identity.then(
      (known) => this.#settle(key, verifying, known),
      () => this.#settle(key, verifying, undefined),
    );
    return identity;
  }

  /** Has all be verified again. */
  forget(): void {
    this.#known.clear();
  }

  #settle(key: string, verifying: Remembered, identity: Identity | undefined): void {
    // Not if all were forgotten meanwhile.
    if (this.#known.get(key) !== verifying) {
      return;
    }
    if (identity === undefined) {
      this.#known.delete(key);
    } else {
      this.#known.set(key, { identity, untilMs: performance.now() + this.#maxAgeMs });
    }
  }

  /** The one that was verified first makes room. */
  #keep(key: string, remembered: Remembered): void {
    this.#known.delete(key);
    if (this.#known.size >= maxTokens) {
      for (const oldest of this.#known.keys().take(1)) {
        this.#known.delete(oldest);
      }
    }
    this.#known.set(key, remembered);
  }
}
