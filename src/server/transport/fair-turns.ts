/** After so long all else has its turn, in ms: a call takes some 0.1 ms to begin. */
const sliceMs = 1;

/**
 * Does work of many in turn: one piece of each after the other, a little at a time, when all that has come is read. Who
 * sends the heads of thousands of calls at once, on however many connections, holds up nobody but himself.
 */
export class FairTurns {
  /** Whose turn is next comes first. */
  readonly #waiting = new Map<object, (() => void)[]>();
  #isScheduled = false;

  /**
   * Has `work` done in a later turn of the event loop.
   *
   * @param whose the same for all work that is to be done in its order.
   * @param work must not throw.
   */
  take(whose: object, work: () => void): void {
    const others = this.#waiting.get(whose);
    if (others === undefined) {
      this.#waiting.set(whose, [work]);
    } else {
      others.push(work);
    }
    this.#schedule();
  }

  #schedule(): void {
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(() => this.#doSome());
    }
  }

  #doSome(): void {
    this.#isScheduled = false;
    const until = performance.now() + sliceMs;
    for (const [whose, works] of this.#waiting) {
      this.#waiting.delete(whose);
      const work = works.shift();
      if (works.length > 0) {
        // Behind all others; the loop comes to it again.
        this.#waiting.set(whose, works);
      }
      work?.();
      if (performance.now() >= until) {
        break;
      }
    }
    if (this.#waiting.size > 0) {
      this.#schedule();
    }
  }
}
