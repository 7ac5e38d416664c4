/** Which of the limits keeps a request out. */
export type ReachedRequestLimit = 'maxOpenRequests' | 'maxOpenRequestsPerPeer';

/** Requests that are open, of so many that may be. */
export class OpenRequests {
  readonly #limit: number;
  #count = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get isFull(): boolean {
    return this.#count >= this.#limit;
  }

  began(): void {
    this.#count += 1;
  }

  ended(): void {
    this.#count -= 1;
  }
}
