import type { HealthSource } from './health-source.ts';

/** The health of a service that is starting: not serving, until another source takes over. */
export class StartingHealth implements HealthSource {
  readonly #standing: () => string;
  readonly #callbacks = new Set<() => void>();
  #successor: HealthSource | undefined;

  /** @param standing tells how far the start is, in words that anybody may read. */
  constructor(standing: () => string) {
    this.#standing = standing;
  }

  status(): 'SERVING' | 'NOT_SERVING' {
    return this.#successor?.status() ?? 'NOT_SERVING';
  }

  reason(): string | undefined {
    return this.#successor ? this.#successor.reason() : 'DATABASE_UNAVAILABLE';
  }

  message(): string | undefined {
    return this.#successor ? this.#successor.message?.() : this.#standing();
  }

  onChange(callback: () => void): () => void {
    this.#callbacks.add(callback);
    return () => {
      this.#callbacks.delete(callback);
    };
  }

  /** Has another source answer from now on, which lasts as long as this one. */
  giveWayTo(successor: HealthSource): void {
    this.#successor = successor;
    const tell = (): void => this.#callbacks.forEach((callback) => callback());
    successor.onChange(tell);
    tell();
  }
}
