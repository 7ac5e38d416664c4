import { hash } from 'node:crypto';
import type { Identity } from '../identity.ts';

/** As many tokens are remembered; some 0.5 KiB each. */
const maxTokens = 10_000;

/**
 * Tokens that were verified, so that the next call with one of them need not verify it again: a
 * signature took 0.5 ms, most of it waiting for a thread, and the hash 3 µs. Kept by their hashes, so that they are nowhere in memory.
 */
export class VerifiedTokens {
  readonly #known = new Map<string, Identity | Promise<Identity>>();

  /** Whom a token stands for, by `verify` unless it is known; for callers at the same time, once. */
  identify(token: string, verify: () => Promise<Identity>): Identity | Promise<Identity> {
    const key = hash('sha256', token, 'base64');
    const known = this.#known.get(key);
    if (known !== undefined) {
      return known;
    }
    const verifying = verify();
    this.#keep(key, verifying);
    verifying.then(
      (identity) => {
        // Not if all were forgotten meanwhile.
        if (this.#known.get(key) === verifying) {
          this.#known.set(key, identity);
        }
      },
      () => {
        if (this.#known.get(key) === verifying) {
          this.#known.delete(key);
        }
      },
    );
    return verifying;
  }

  /** Has all be verified again. */
  forget(): void {
    this.#known.clear();
  }

  /** The one that was verified first makes room. */
  #keep(key: string, identity: Promise<Identity>): void {
    if (this.#known.size >= maxTokens) {
      for (const oldest of this.#known.keys().take(1)) {
        this.#known.delete(oldest);
      }
    }
    this.#known.set(key, identity);
  }
}
