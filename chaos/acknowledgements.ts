/**
 * What the service has acknowledged of one upload: the greatest committed_size that any client was told.
 * "It never decreases. A client may forget what lies before it."
 */
export class Acknowledgements {
  #greatest = 0;
  readonly #violate: (sentence: string) => void;

  constructor(violate: (sentence: string) => void) {
    this.#violate = violate;
  }

  /** What no call that begins now may fall behind. */
  get floor(): number {
    return this.#greatest;
  }

  /**
   * Notes what a call answered.
   *
   * @param floor what `floor` was when the call began: of calls side by side, one may answer late.
   */
  note(committedSize: bigint | number | string, floor: number, where: string): void {
    const committed = Number(committedSize);
    if (committed < floor) {
      this.#violate(
        `${where} answered committed_size ${committed} after ${floor} was acknowledged`,
      );
    }
    this.#greatest = Math.max(this.#greatest, committed);
  }

  /** A retry begins at the first byte again: nothing is acknowledged any more. */
  forget(): void {
    this.#greatest = 0;
  }
}
