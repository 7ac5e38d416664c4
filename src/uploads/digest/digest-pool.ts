import { availableParallelism } from 'node:os';
import type { DigestStream, DigestWishes } from './digest-stream.ts';
import { DigestThread } from './digest-thread.ts';

/**
 * Threads that compute digests: at 1.5 GiB/s a core sha256 alone would otherwise take half of the event
 * loop's time at full upload speed. Threads are started when they are first needed, and replaced when they die.
 */
export class DigestPool {
  readonly #size: number;
  readonly #threads = new Set<DigestThread>();

  /** @param size how many threads at most; by default one less than there are processors, 1 to 8. */
  constructor(size = Math.min(8, Math.max(1, availableParallelism() - 1))) {
    this.#size = size;
  }

  /** Begins a digest, sha256 alone if nothing else is said, on the thread that has the fewest. */
  open(wishes: DigestWishes = { sha512: false }): DigestStream {
    return this.#thread().open(wishes);
  }

  /** Ends all threads; digests under way fail. */
  async close(): Promise<void> {
    await Promise.all([...this.#threads].map((thread) => thread.terminate()));
  }

  #thread(): DigestThread {
    for (const thread of this.#threads) {
      if (thread.failure) {
        this.#threads.delete(thread);
      }
    }
    const [idlest] = [...this.#threads].toSorted((a, b) => a.size - b.size);
    if (idlest && (idlest.size === 0 || this.#threads.size >= this.#size)) {
      return idlest;
    }
    const thread = new DigestThread();
    this.#threads.add(thread);
    return thread;
  }
}
