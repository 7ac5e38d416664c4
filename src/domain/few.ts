/**
 * A set that mostly holds one thing, or none. V8 takes some 220 bytes for a Set of one, and there is such a set for each task that
 * is watched.
 *
 * As of a Set, its iterator skips what is deleted before it comes to it.
 */
export class Few<T extends object> implements Iterable<T> {
  #held: T | Set<T> | undefined;

  /** How many it holds. */
  get size(): number {
    return this.#held instanceof Set ? this.#held.size : Number(this.#held !== undefined);
  }

  /** Adds one that it may hold already. */
  add(one: T): void {
    if (this.#held instanceof Set) {
      this.#held.add(one);
    } else if (this.#held === undefined || this.#held === one) {
      this.#held = one;
    } else {
      this.#held = new Set([this.#held, one]);
    }
  }

  /** Answers whether it held this one. */
  delete(one: T): boolean {
    const isHeld = this.#has(one);
    if (isHeld && this.#held instanceof Set) {
      this.#held.delete(one);
      if (this.#held.size === 1) {
        [this.#held] = this.#held;
      }
    } else if (isHeld) {
      this.#held = undefined;
    }
    return isHeld;
  }

  *[Symbol.iterator](): Generator<T, void, undefined> {
    const held = this.#held instanceof Set ? this.#held : [this.#held];
    for (const one of held) {
      // It may be held by itself by now, and be gone from there.
      if (one !== undefined && this.#has(one)) {
        yield one;
      }
    }
  }

  #has(one: T): boolean {
    return this.#held instanceof Set ? this.#held.has(one) : this.#held === one;
  }
}
