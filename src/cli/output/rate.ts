/** Over how long a rate is taken, in ms. */
const spanMs = 5000;

/** How fast something goes on, over the last seconds. */
export class Rate {
  readonly #samples: { readonly atMs: number; readonly bytes: number }[] = [];

  /** So much is done by now. */
  add(bytes: number): void {
    const atMs = performance.now();
    this.#samples.push({ atMs, bytes });
    while (this.#samples.length > 2 && (this.#samples[1]?.atMs ?? atMs) < atMs - spanMs) {
      this.#samples.shift();
    }
  }

  /** In bytes a second; it goes down while nothing is added. */
  get bytesPerSecond(): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || first === last) {
      return 0;
    }
    const ms = Math.max(1, performance.now() - first.atMs);
    return Math.max(0, ((last.bytes - first.bytes) / ms) * 1000);
  }
}
