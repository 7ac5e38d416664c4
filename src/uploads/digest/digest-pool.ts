import { availableParallelism } from 'node:os';
import { DigestThread } from './digest-thread.ts';

/** Which digests are computed besides sha256. */
export interface DigestWishes {
  readonly sha512: boolean;
}

/** The digests of the same bytes, lower-case hex. */
export interface Digests {
  readonly sha256: string;
  /** Undefined unless it was wished for. */
  readonly sha512: string | undefined;
}

/** Digests that are computed on another thread. */
export interface DigestStream {
  /** Bytes that were given and are not digested yet. */
  readonly bytesInFlight: number;
  /** Whether its thread has died: it will never answer again. */
  readonly isLost: boolean;
  /**
   * Gives bytes; `data`'s buffer is moved to the other thread if it holds little else, and copied if not.
   * Resolves when there is room for more on the way to the thread; what is given sooner waits its turn.
   *
   * @throws DarkroomError INTERNAL if the thread died.
   */
  update(data: Uint8Array<ArrayBuffer>): Promise<void>;
  /** The digests of all bytes given so far. @throws DarkroomError INTERNAL if the thread died. */
  result(): Promise<Digests>;
  /** Forgets the digest. */
  close(): void;
}

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
