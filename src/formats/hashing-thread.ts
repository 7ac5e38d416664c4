import { Worker } from 'node:worker_threads';

/** What the thread is told of one hash. Each is answered, but for `close`. */
export type HashRequest =
  | {
      readonly kind: 'update';
      readonly id: number;
      readonly algorithm: string;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: 'digest'; readonly id: number; readonly algorithm: string }
  | { readonly kind: 'close'; readonly id: number };

/** The answer: the digest in lower-case hex if it was asked for. */
export interface HashAnswer {
  readonly id: number;
  readonly digest: string | undefined;
}

/** A hash that is computed on another thread. Its methods are called one after the other. */
export interface ThreadHash {
  /** Resolves when the bytes are hashed. @throws if the thread died. */
  update(bytes: Uint8Array): Promise<void>;
  /** The digest in lower-case hex of all bytes. @throws if the thread died. */
  digest(): Promise<string>;
  /** Forgets the hash. */
  close(): void;
}

/** A thread that computes any number of hashes by any algorithm of node:crypto. */
export class HashingThread {
  readonly #worker = new Worker(new URL('./hashing-worker.ts', import.meta.url));
  readonly #waiting = new Map<number, PromiseWithResolvers<string | undefined>>();
  #nextId = 1;
  #failure: unknown;

  constructor() {
    this.#worker.unref();
    this.#worker.on('message', ({ id, digest }: HashAnswer) => {
      this.#waiting.get(id)?.resolve(digest);
      this.#waiting.delete(id);
    });
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('the thread of the hashes has ended')));
  }

  get isDead(): boolean {
    return this.#failure !== undefined;
  }

  open(algorithm: string): ThreadHash {
    const id = this.#nextId++;
    return {
      update: async (bytes) => {
        await this.#ask({ kind: 'update', id, algorithm, bytes });
      },
      digest: async () => (await this.#ask({ kind: 'digest', id, algorithm })) ?? '',
      close: () => this.#worker.postMessage({ kind: 'close', id } satisfies HashRequest),
    };
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  #ask(request: HashRequest): Promise<string | undefined> {
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
    const answer = Promise.withResolvers<string | undefined>();
    this.#waiting.set(request.id, answer);
    this.#worker.postMessage(request);
    return answer.promise;
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    for (const answer of this.#waiting.values()) {
      answer.reject(error);
    }
    this.#waiting.clear();
  }
}
