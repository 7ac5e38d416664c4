import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import type { UploadFrame } from '../../src/uploads/upload-frame.ts';

type Step = UploadFrame | 'end' | DarkroomError;

/** A client's stream that a test feeds frame by frame. */
export class ScriptedStream implements AsyncIterator<UploadFrame> {
  readonly #steps: Step[] = [];
  #asked: PromiseWithResolvers<IteratorResult<UploadFrame>> | undefined;
  #drained = Promise.withResolvers<void>();

  next(): Promise<IteratorResult<UploadFrame>> {
    this.#asked = Promise.withResolvers();
    const { promise } = this.#asked;
    this.#deliver();
    return promise;
  }

  /** Sends a frame. */
  send(frame: UploadFrame): void {
    this.#add(frame);
  }

  /** Ends the client's side. */
  end(): void {
    this.#add('end');
  }

  /** Breaks the connection, after what was sent before has arrived. */
  break(): void {
    this.#add(new DarkroomError('CONNECTION_LOST', 'broken by the test'));
  }

  /** Resolves when the service waits for more than was sent. */
  get waitsForMore(): Promise<void> {
    return this.#drained.promise;
  }

  #add(step: Step): void {
    this.#drained = Promise.withResolvers();
    this.#steps.push(step);
    this.#deliver();
  }

  #deliver(): void {
    const asked = this.#asked;
    if (!asked) {
      return;
    }
    const step = this.#steps.shift();
    if (step === undefined) {
      this.#drained.resolve();
      return;
    }
    this.#asked = undefined;
    if (step === 'end') {
      asked.resolve({ done: true, value: undefined });
    } else if (step instanceof DarkroomError) {
      asked.reject(step);
    } else {
      asked.resolve({ done: false, value: step });
    }
  }
}
