/** Lets only so many works go on at the same time; the others wait their turn. */
export class Permits {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /** @param count how many works may go on at the same time; 1 or more. */
  constructor(count: number) {
    this.#free = count;
  }

  /** Does the work when it is its turn. @throws what `work` throws. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) {
      this.#free -= 1;
    } else {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) {
        next();
      } else {
        this.#free += 1;
      }
    }
  }
}
