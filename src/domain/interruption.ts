/**
 * Ends what waits for something else: once, with the first error that is given. An AbortSignal would do,
 * but its listeners are added and removed at about 5 µs, twice for each frame of an upload.
 */
export class Interruption {
  readonly #waits = new Set<(error: Error) => void>();
  #error: Error | undefined;

  /** Rejects all waits, those under way and those to come. Only the first error counts. */
  interrupt(error: Error): void {
    if (this.#error) {
      return;
    }
    this.#error = error;
    for (const reject of this.#waits) {
      reject(error);
    }
    this.#waits.clear();
  }

  get isInterrupted(): boolean {
    return this.#error !== undefined;
  }

  /** @throws the error of the interruption, if there was one. */
  throwIfInterrupted(): void {
    if (this.#error) {
      throw this.#error;
    }
  }

  /**
   * Settles as `promise` does, or rejects as soon as there is an interruption. What becomes of the
   * promise is then ignored.
   */
  race<T>(promise: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#error) {
        promise.catch(() => {});
        reject(this.#error);
        return;
      }
      this.#waits.add(reject);
      promise.then(
        (value) => {
          this.#waits.delete(reject);
          resolve(value);
        },
        (error: Error) => {
          this.#waits.delete(reject);
          reject(error);
        },
      );
    });
  }
}
