// The first restart is quick, for what was killed by mistake; the cap keeps what cannot start, such as a PostgreSQL on a
// full disk, from flooding the log, yet it is back soon after the cause is gone.
const firstMs = 100;
const longestMs = 30_000;
/** What ran this long did start: its next end is a new story, in ms. */
const settledMs = 60_000;

/** How long to wait before what has died is started again: twice as long each time. */
export class RestartDelay {
  #ms = firstMs;

  /**
   * The next wait, 100 ms to 30 s.
   *
   * @param ranMs how long it had run; 0 if it could not be started.
   */
  next(ranMs: number): number {
    const ms = ranMs > settledMs ? firstMs : this.#ms;
    this.#ms = Math.min(2 * ms, longestMs);
    return ms;
  }
}
