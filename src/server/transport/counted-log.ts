import type { Logger } from 'pino';

/** How often the log tells of the same, in ms. */
const logIntervalMs = 10_000;

/** Tells the log what clients can bring about as often as they like: at most once in 10 s, and how often it was since. */
export class CountedLog {
  readonly #logger: Logger;
  readonly #level: 'info' | 'warn';
  readonly #counter: string;
  readonly #counts = new Map<string, { count: number; lastLogged: number }>();

  /** @param counter the name of the field with the count. */
  constructor(logger: Logger, level: 'info' | 'warn', counter: string) {
    this.#logger = logger;
    this.#level = level;
    this.#counter = counter;
  }

  /** @param message of few different ones: each is counted by itself. */
  tell(message: string, fields: Readonly<Record<string, unknown>>): void {
    const seen = this.#counts.get(message) ?? { count: 0, lastLogged: -Infinity };
    this.#counts.set(message, seen);
    seen.count += 1;
    const now = performance.now();
    if (now - seen.lastLogged >= logIntervalMs) {
      this.#logger[this.#level]({ [this.#counter]: seen.count, ...fields }, message);
      seen.lastLogged = now;
      seen.count = 0;
    }
  }
}
