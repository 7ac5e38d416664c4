import { DarkroomError } from '../domain/darkroom-error.ts';

const retryDelayMs = 1000;

/**
 * How many downloads there may be at the same time in this process. Each holds an open file and some 3 MiB: what it
 * wrote last and what it has read ahead, however slowly its client reads.
 */
export class DownloadPlaces {
  readonly #size: number;
  #taken = 0;

  /** @param size how many at the same time. */
  constructor(size: number) {
    this.#size = size;
  }

  /**
   * Takes a place for one more. What it gives is to be called once, when the download has ended.
   *
   * @throws DarkroomError TOO_MANY_DOWNLOADS where all are taken.
   */
  take(): () => void {
    if (this.#taken >= this.#size) {
      throw new DarkroomError(
        'TOO_MANY_DOWNLOADS',
        `All ${this.#size} downloads that this process serves at a time are under way. Try again later.`,
        { retryDelayMs },
      );
    }
    this.#taken += 1;
    return () => (this.#taken -= 1);
  }
}
