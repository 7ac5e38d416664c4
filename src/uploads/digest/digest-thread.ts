import { Worker } from 'node:worker_threads';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { giveBack } from '../../runtime/shared-buffers.ts';
import type { Digests, DigestStream, DigestWishes } from './digest-stream.ts';
import type { DigestAnswer, DigestRequest } from './digest-messages.ts';

/**
 * Bytes that may be on their way to one thread, over all digests: enough for it to be busy while the
 * event loop does something else for 10 ms, and few enough that many uploads at once take no more memory.
 */
const maxBytesInFlight = 16 * 1024 * 1024;
/** Buffers that hold this much besides the data are copied, not moved: others may be using the rest. */
const movableSlack = 4096;
/** Smaller data is cheaper to copy than to move. */
const movableBytes = 64 * 1024;

/** Bytes that wait for room on the way to the thread. */
interface WaitingUpdate {
  readonly stream: ThreadStream;
  readonly data: Uint8Array;
  resolve(): void;
  reject(error: Error): void;
}

/** One thread that computes digests. */
export class DigestThread {
  readonly #worker = new Worker(new URL('./digest-worker.ts', import.meta.url));
  readonly #streams = new Map<number, ThreadStream>();
  #nextDigest = 1;
  #bytesInFlight = 0;
  #waiting: WaitingUpdate[] = [];
  /** What is on its way, in the order in which it will be answered. */
  readonly #onTheWay: Uint8Array[] = [];
  #failure: DarkroomError | undefined;

  constructor() {
    this.#worker.unref();
    this.#worker.on('message', (answer: DigestAnswer) => this.#onAnswer(answer));
    this.#worker.on('messageerror', (error) => this.#fail(error));
    this.#worker.on('error', (error: unknown) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('the thread of the digest has ended')));
  }

  /** How many digests it computes. */
  get size(): number {
    return this.#streams.size;
  }

  /** Why the thread is dead; undefined while it lives. */
  get failure(): DarkroomError | undefined {
    return this.#failure;
  }

  /** Begins a digest. */
  open({ sha512 }: DigestWishes): DigestStream {
    const stream = new ThreadStream(this, this.#nextDigest++);
    this.#streams.set(stream.digest, stream);
    this.#request({ kind: 'open', digest: stream.digest, sha512 });
    return stream;
  }

  /** Ends the thread. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  /** Gives bytes of a digest to the thread, in turn. */
  async update(stream: ThreadStream, data: Uint8Array): Promise<void> {
    this.#assertOpen(stream);
    stream.bytesInFlight += data.byteLength;
    if (this.#waiting.length === 0 && this.#hasRoom(data)) {
      this.#post(stream, data);
    } else {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#waiting.push({ stream, data, resolve, reject });
      await promise;
    }
  }

  /** Asks for the result of all that was given. The answer is told to `onResult`. */
  requestResult(stream: ThreadStream): void {
    this.#assertOpen(stream);
    this.#request({ kind: 'result', digest: stream.digest });
  }

  /** Forgets a digest, and what it still had to give. */
  close(stream: ThreadStream): void {
    if (!this.#streams.delete(stream.digest)) {
      return;
    }
    const closed = new Error('the digest was closed');
    const given = this.#waiting.filter((update) => update.stream === stream);
    this.#waiting = this.#waiting.filter((update) => update.stream !== stream);
    for (const update of given) {
      update.reject(closed);
    }
    stream.fail(closed);
    this.#request({ kind: 'close', digest: stream.digest });
    this.#postWaiting();
  }

  #assertOpen(stream: ThreadStream): void {
    if (this.#failure) {
      throw this.#failure;
    }
    if (!this.#streams.has(stream.digest)) {
      throw new Error('the digest was closed');
    }
  }

  #request(request: DigestRequest, moved: ArrayBuffer[] = []): void {
    this.#worker.postMessage(request, moved);
  }

  #hasRoom(data: Uint8Array): boolean {
    return this.#bytesInFlight === 0 || this.#bytesInFlight + data.byteLength <= maxBytesInFlight;
  }

  #post(stream: ThreadStream, data: Uint8Array): void {
    this.#bytesInFlight += data.byteLength;
    this.#onTheWay.push(data);
    const isShared = data.buffer instanceof SharedArrayBuffer;
    const isMovable =
      data.byteLength >= movableBytes && data.buffer.byteLength - data.byteLength < movableSlack;
    // Not by `slice`, which for a Buffer is no copy.
    const given = isShared || isMovable ? data : new Uint8Array(data);
    const { buffer, byteOffset: start, byteLength: length } = given;
    const request = { kind: 'update', digest: stream.digest, buffer, start, length } as const;
    this.#request(request, buffer instanceof ArrayBuffer ? [buffer] : []);
  }

  #postWaiting(): void {
    for (let next = this.#waiting[0]; next && this.#hasRoom(next.data); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#post(next.stream, next.data);
      next.resolve();
    }
  }

  #onAnswer(answer: DigestAnswer): void {
    const stream = this.#streams.get(answer.digest);
    if (answer.kind === 'result') {
      stream?.onResult(answer.digests);
      return;
    }
    this.#bytesInFlight -= answer.length;
    const digested = this.#onTheWay.shift();
    if (digested) {
      giveBack(digested);
    }
    if (stream) {
      stream.bytesInFlight -= answer.length;
    }
    this.#postWaiting();
  }

  #fail(cause: unknown): void {
    this.#failure ??= new DarkroomError(
      'INTERNAL',
      'The thread that computed the digest has died. The upload can be resumed; its digest is then computed anew.',
      { cause, retryDelayMs: 1000 },
    );
    for (const update of this.#waiting.splice(0)) {
      update.reject(this.#failure);
    }
    for (const stream of this.#streams.values()) {
      stream.fail(this.#failure);
    }
  }
}

/** One digest of a thread. */
class ThreadStream implements DigestStream {
  readonly digest: number;
  bytesInFlight = 0;
  readonly #thread: DigestThread;
  /** Requests are answered in order, so a result must not overtake bytes that wait for room. */
  #given: Promise<void> = Promise.resolve();
  #results: { resolve(digests: Digests): void; reject(error: Error): void }[] = [];

  constructor(thread: DigestThread, digest: number) {
    this.#thread = thread;
    this.digest = digest;
  }

  get isLost(): boolean {
    return this.#thread.failure !== undefined;
  }

  update(data: Uint8Array): Promise<void> {
    const given = this.#thread.update(this, data);
    this.#given = given.catch(() => {});
    return given;
  }

  async result(): Promise<Digests> {
    await this.#given;
    const { promise, resolve, reject } = Promise.withResolvers<Digests>();
    this.#thread.requestResult(this);
    this.#results.push({ resolve, reject });
    return promise;
  }

  close(): void {
    this.#thread.close(this);
  }

  /** The thread has answered. */
  onResult(digests: Digests): void {
    this.#results.shift()?.resolve(digests);
  }

  /** There will be no results any more. */
  fail(error: Error): void {
    for (const result of this.#results.splice(0)) {
      result.reject(error);
    }
  }
}
