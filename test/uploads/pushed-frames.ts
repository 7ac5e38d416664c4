import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import type { UploadFrame } from '../../src/uploads/receiving/upload-frame.ts';

/** Frames that a test sends when it likes, from a client that may hang half-open. */
export class PushedFrames implements AsyncIterator<UploadFrame> {
  readonly #ready: (() => Promise<IteratorResult<UploadFrame>>)[] = [];
  #wanted: PromiseWithResolvers<IteratorResult<UploadFrame>> | undefined;
  #drained = Promise.withResolvers<void>();

  constructor(...frames: UploadFrame[]) {
    this.push(...frames);
  }

  /** Whether all that was sent was taken, and more is awaited. */
  get isDrained(): boolean {
    return this.#wanted !== undefined;
  }

  /** Resolves once it is so. */
  get drained(): Promise<void> {
    return this.#drained.promise;
  }

  /** Sends frames. */
  push(...frames: UploadFrame[]): void {
    for (const value of frames) {
      this.#give(() => Promise.resolve({ done: false, value }));
    }
  }

  /** Half-closes. */
  end(): void {
    this.#give(() => Promise.resolve({ done: true, value: undefined }));
  }

  /** Breaks the connection, or what `error` says. */
  fail(error: Error = new DarkroomError('CONNECTION_LOST', 'the test cut the connection')): void {
    this.#give(() => Promise.reject(error));
  }

  next(): Promise<IteratorResult<UploadFrame>> {
    const ready = this.#ready.shift();
    if (ready) {
      return ready();
    }
    this.#wanted = Promise.withResolvers();
    this.#drained.resolve();
    return this.#wanted.promise;
  }

  #give(result: () => Promise<IteratorResult<UploadFrame>>): void {
    this.#drained = Promise.withResolvers();
    const wanted = this.#wanted;
    if (wanted) {
      this.#wanted = undefined;
      result().then(wanted.resolve, wanted.reject);
    } else {
      this.#ready.push(result);
    }
  }
}
