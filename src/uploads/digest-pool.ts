import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { DarkroomError } from '../domain/darkroom-error.ts';

/** What the pool asks of a worker. */
export type DigestRequest =
  | {
      readonly kind: 'update';
      readonly digest: number;
      readonly buffer: ArrayBuffer;
      readonly start: number;
      readonly length: number;
    }
  | { readonly kind: 'result' | 'close'; readonly digest: number };

/** What a worker answers, in the order of the requests of one digest. */
export type DigestAnswer =
  | { readonly kind: 'updated'; readonly digest: number; readonly length: number }
  | { readonly kind: 'result'; readonly digest: number; readonly sha256: string };

/** A sha256 that is computed on another thread. */
export interface Sha256Stream {
  /** Bytes that were given and are not digested yet. */
  readonly bytesInFlight: number;
  /** Whether its thread has died: it will never answer again. */
  readonly isLost: boolean;
  /** Gives bytes; `data`'s buffer is moved to the other thread if it holds little else, and copied if not. */
  update(data: Uint8Array<ArrayBuffer>): void;
  /** Resolves when fewer than `bytes` bytes are in flight. @throws DarkroomError INTERNAL if the thread died. */
  belowInFlight(bytes: number): Promise<void>;
  /** Lower-case hex of the sha256 of all bytes given so far. @throws DarkroomError INTERNAL if the thread died. */
  result(): Promise<string>;
  /** Forgets the digest. */
  close(): void;
}

/** Buffers that hold this much besides the data are copied, not moved: others may be using the rest. */
const movableSlack = 4096;
/** Smaller data is cheaper to copy than to move. */
const movableBytes = 64 * 1024;

class WorkerThread {
  readonly worker = new Worker(new URL('./digest-worker.ts', import.meta.url));
  readonly streams = new Map<number, WorkerStream>();
  failure: DarkroomError | undefined;

  constructor() {
    this.worker.unref();
    this.worker.on('message', (answer: DigestAnswer) => {
      this.streams.get(answer.digest)?.onAnswer(answer);
    });
    this.worker.on('error', (error: unknown) => this.fail(error));
    this.worker.on('exit', () => this.fail(new Error('the digest worker has exited')));
  }

  fail(cause: unknown): void {
    this.failure ??= new DarkroomError(
      'INTERNAL',
      'The thread that computed the digest has died. The upload can be resumed; its digest is then computed anew.',
      { cause, retryDelayMs: 1000 },
    );
    for (const stream of this.streams.values()) {
      stream.onFailure(this.failure);
    }
  }
}

interface Waiter {
  readonly belowBytes: number;
  resolve(): void;
  reject(error: Error): void;
}

class WorkerStream implements Sha256Stream {
  readonly #thread: WorkerThread;
  readonly #digest: number;
  #waiters: Waiter[] = [];
  readonly #results: { resolve(sha256: string): void; reject(error: Error): void }[] = [];
  bytesInFlight = 0;

  constructor(thread: WorkerThread, digest: number) {
    this.#thread = thread;
    this.#digest = digest;
    thread.streams.set(digest, this);
  }

  get isLost(): boolean {
    return this.#thread.failure !== undefined;
  }

  update(data: Uint8Array<ArrayBuffer>): void {
    const movable =
      data.byteLength >= movableBytes && data.buffer.byteLength - data.byteLength < movableSlack;
    const moved = movable ? data : data.slice();
    this.bytesInFlight += data.byteLength;
    this.#send(
      {
        kind: 'update',
        digest: this.#digest,
        buffer: moved.buffer,
        start: moved.byteOffset,
        length: moved.byteLength,
      },
      [moved.buffer],
    );
  }

  async belowInFlight(bytes: number): Promise<void> {
    if (this.#thread.failure) {
      throw this.#thread.failure;
    }
    if (this.bytesInFlight >= bytes) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#waiters.push({ belowBytes: bytes, resolve, reject });
      await promise;
    }
  }

  async result(): Promise<string> {
    if (this.#thread.failure) {
      throw this.#thread.failure;
    }
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.#results.push({ resolve, reject });
    this.#send({ kind: 'result', digest: this.#digest });
    return promise;
  }

  close(): void {
    if (this.#thread.streams.delete(this.#digest)) {
      this.#send({ kind: 'close', digest: this.#digest });
      this.onFailure(new Error('the digest was closed'));
    }
  }

  onAnswer(answer: DigestAnswer): void {
    if (answer.kind === 'result') {
      this.#results.shift()?.resolve(answer.sha256);
      return;
    }
    this.bytesInFlight -= answer.length;
    const [ready, waiting] = partition(this.#waiters, (w) => this.bytesInFlight < w.belowBytes);
    this.#waiters = waiting;
    for (const waiter of ready) {
      waiter.resolve();
    }
  }

  onFailure(error: Error): void {
    for (const waiter of [...this.#waiters.splice(0), ...this.#results.splice(0)]) {
      waiter.reject(error);
    }
  }

  #send(request: DigestRequest, transfer: ArrayBuffer[] = []): void {
    this.#thread.worker.postMessage(request, transfer);
  }
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}

/**
 * Threads that compute sha256: at 1.5 GiB/s a core it would otherwise take half of the event loop's
 * time at full upload speed. Threads are started when they are first needed.
 */
export class DigestPool {
  readonly #size: number;
  #threads: WorkerThread[] = [];
  #nextDigest = 1;

  /** @param size how many threads at most; by default one less than there are processors, 1 to 8. */
  constructor(size = Math.min(8, Math.max(1, availableParallelism() - 1))) {
    this.#size = size;
  }

  /** Begins a digest on the thread that has the fewest. */
  open(): Sha256Stream {
    this.#threads = this.#threads.filter((thread) => !thread.failure);
    let thread = this.#threads.toSorted((a, b) => a.streams.size - b.streams.size)[0];
    if (!thread || (thread.streams.size > 0 && this.#threads.length < this.#size)) {
      thread = new WorkerThread();
      this.#threads.push(thread);
    }
    return new WorkerStream(thread, this.#nextDigest++);
  }

  /** Ends all threads; digests under way fail. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }
}
