import type { Interruption } from '../../domain/interruption.ts';

/**
 * How many images a process unpacks at the same time: each takes a decoder's memory, up to some 130 MiB, and
 * most of a processor. Who comes first is let in first.
 */
export class UnpackingLanes {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /** @param size how many at the same time. */
  constructor(size: number) {
    this.#free = size;
  }

  /**
   * Runs `work` once there is room for it.
   *
   * @throws what `work` throws; the interruption's error, if it comes before there is room.
   */
  async run<T>(interruption: Interruption, work: () => Promise<T>): Promise<T> {
    await this.#enter(interruption);
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  async #enter(interruption: Interruption): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    try {
      await interruption.race(promise);
    } catch (error) {
      const place = this.#waiting.indexOf(resolve);
      if (place >= 0) {
        this.#waiting.splice(place, 1);
      } else {
        // It was given room in this very moment.
        this.#leave();
      }
      throw error;
    }
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next) {
      next();
    } else {
      this.#free += 1;
    }
  }
}
