/** So many at once, and so many more each second: what was not used is kept up to the first number. */
export class Allowance {
  readonly #burst: number;
  readonly #perSecond: number;
  #left: number;
  #countedAt = performance.now();

  /**
   * @param burst how many at once.
   * @param perSecond how many more each second; as many as at once, if not set.
   */
  constructor(burst: number, perSecond: number = burst) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#left = burst;
  }

  /** How many are left; a part of one is on its way. */
  get left(): number {
    const now = performance.now();
    const more = ((now - this.#countedAt) / 1000) * this.#perSecond;
    this.#left = Math.min(this.#burst, this.#left + more);
    this.#countedAt = now;
    return this.#left;
  }

  /** Whether nothing was used of it lately, so that a new one would be the same. */
  get isWhole(): boolean {
    return this.left >= this.#burst;
  }

  /** Uses one; false where none is left. */
  use(): boolean {
    if (this.left < 1) {
      return false;
    }
    this.#left -= 1;
    return true;
  }
}
