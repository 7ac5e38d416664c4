/** For how many pauses after its last flood the connections of a peer are served one by one. */
const pausesUntilTrusted = 10;

/** More connections of one peer do not wait for their turn. */
const maxWaiting = 50;

/**
 * How a peer behaved, which outlives its connections: who floods one, is ended, and comes again at once would else do so
 * as often as the service can take connections. After a flood the peer's new connections are served one at a time, a
 * pause apart, until it has been calm for ten pauses. They wait rather than be refused, for the peer may be a load
 * balancer or a NAT with others behind it.
 */
export class PeerConduct {
  readonly #pauseMs: number;
  #trustedAt = -Infinity;
  #nextTurnAt = -Infinity;

  /** @param pauseMs between two connections, in ms; 0 forgives everything. */
  constructor(pauseMs: number) {
    this.#pauseMs = pauseMs;
  }

  /** A connection of the peer was ended for a flood. */
  flooded(now: number): void {
    this.#trustedAt = now + pausesUntilTrusted * this.#pauseMs;
    this.#nextTurnAt = Math.max(this.#nextTurnAt, now + this.#pauseMs);
  }

  /** Takes a turn for one more connection: in how many ms it comes, or that too many wait for theirs. */
  takeTurn(now: number): number | 'tooManyWait' {
    if (this.isTrusted(now)) {
      return 0;
    }
    const turnAt = Math.max(now, this.#nextTurnAt);
    if (turnAt > now + maxWaiting * this.#pauseMs) {
      return 'tooManyWait';
    }
    this.#nextTurnAt = turnAt + this.#pauseMs;
    return turnAt - now;
  }

  /** Whether nothing has to be remembered of the peer. */
  isTrusted(now: number): boolean {
    return now >= this.#trustedAt;
  }
}
