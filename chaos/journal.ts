/** Counts of what happened, by name. */
export class Tally {
  readonly #counts = new Map<string, number>();

  /** Counts one more, or so many more. */
  add(name: string, count = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
  }

  /** How many there were. */
  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /** All that were counted, the most frequent first. */
  entries(): [name: string, count: number][] {
    return [...this.#counts].toSorted(([a, m], [b, n]) => n - m || a.localeCompare(b));
  }

  /** Adds all counts of another tally. */
  addAll(other: Tally): void {
    for (const [name, count] of other.entries()) {
      this.add(name, count);
    }
  }
}

/** What one round's clients, watchers and saboteur have to tell. */
export class Journal {
  /** Broken promises of the service, each in a sentence. */
  readonly violations: string[] = [];
  /** What was done to the service: kills, by kind. */
  readonly blows = new Tally();
  /** What clients did and met. */
  readonly counts = new Tally();
  /** Where the time went, in ms. */
  readonly spent = new Tally();
  readonly #begun = performance.now();
  readonly #finishListeners = new Set<() => void>();
  readonly #onLine: (line: string) => void;

  /** @param onLine gets each line of the story, with its time. */
  constructor(onLine: (line: string) => void = () => {}) {
    this.#onLine = onLine;
  }

  /** Says that the service broke a promise. */
  violate(sentence: string): void {
    this.violations.push(sentence);
    this.note(`VIOLATION: ${sentence}`);
  }

  /** Waits for a part of the round, and notes how long it took. */
  async timed<T>(part: string, work: Promise<T>): Promise<T> {
    const begun = performance.now();
    try {
      return await work;
    } finally {
      this.spent.add(part, performance.now() - begun);
    }
  }

  /** Tells one step of the story, for whoever looks for the cause of a violation. */
  note(line: string): void {
    this.#onLine(
      `${new Date().toISOString()} +${Math.round(performance.now() - this.#begun)} ${line}`,
    );
  }

  /** Says that a client is sending a finish just now: the best moment for a blow. */
  finishSent(): void {
    for (const listener of this.#finishListeners) {
      listener();
    }
  }

  /** Resolves when the next finish is sent, or the signal fires. */
  nextFinish(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#finishListeners.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#finishListeners.add(done);
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted) {
        done();
      }
    });
  }
}
