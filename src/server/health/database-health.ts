import type { HealthSource } from './health-source.ts';

/** When and how the database is looked at. */
export interface DatabaseHealthOptions {
  /** Whether the database answers. Rejecting counts as no. */
  readonly probe: () => Promise<boolean>;
  /** How long after one answer the next is asked for, in ms; an answer that takes longer counts as no. */
  readonly intervalMs: number;
}

/** The health of a service that is as healthy as its database. Not serving until the first answer. */
export class DatabaseHealth implements HealthSource {
  /** Resolves with the first answer, or when it is late. */
  readonly known: Promise<void>;
  readonly #options: DatabaseHealthOptions;
  readonly #callbacks = new Set<() => void>();
  #status: 'SERVING' | 'NOT_SERVING' = 'NOT_SERVING';
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** Asks for the first time at once. */
  constructor(options: DatabaseHealthOptions) {
    this.#options = options;
    const known = Promise.withResolvers<void>();
    this.known = known.promise;
    void this.#look(known.resolve);
  }

  status(): 'SERVING' | 'NOT_SERVING' {
    return this.#status;
  }

  reason(): string | undefined {
    return this.#status === 'SERVING' ? undefined : 'DATABASE_UNAVAILABLE';
  }

  onChange(callback: () => void): () => void {
    this.#callbacks.add(callback);
    return () => {
      this.#callbacks.delete(callback);
    };
  }

  /** Stops asking; the last answer stays. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #look(onKnown?: () => void): Promise<void> {
    const late = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => late.resolve(false), this.#options.intervalMs).unref();
    const answers = this.#options.probe().catch(() => false);
    const answered = await Promise.race([answers, late.promise]);
    clearTimeout(timer);
    if (!this.#stopped) {
      this.#become(answered ? 'SERVING' : 'NOT_SERVING');
    }
    onKnown?.();
    // A probe that hangs is waited for: asking again would hang one more connection each time.
    await answers;
    if (!this.#stopped) {
      this.#timer = setTimeout(() => void this.#look(), this.#options.intervalMs).unref();
    }
  }

  #become(status: 'SERVING' | 'NOT_SERVING'): void {
    if (status === this.#status) {
      return;
    }
    this.#status = status;
    for (const callback of this.#callbacks) {
      callback();
    }
  }
}
