import { DarkroomError } from './client-error.ts';

/**
 * Ends a call of which nothing is heard for too long: a connection may be dead without anybody having said so. It counts
 * only while it listens. The signal is also aborted with the caller's.
 */
export class SilenceGuard {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #abort = (): void => this.#controller.abort(this.#outer?.reason);
  readonly #silentMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #silence: DarkroomError | undefined;

  constructor(silentMs: number, outer: AbortSignal | undefined) {
    this.#silentMs = silentMs;
    this.#outer = outer;
    outer?.addEventListener('abort', this.#abort);
    if (outer?.aborted === true) {
      this.#abort();
    }
  }

  /** For the call that is guarded. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What ended the call, if the guard did. */
  get silence(): DarkroomError | undefined {
    return this.#silence;
  }

  /** Something is awaited from now on. */
  listen(silentMs = this.#silentMs): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.fail(`nothing was heard of the service for ${Math.round(silentMs / 1000)} s`);
    }, silentMs);
  }

  /** Takes the connection for dead. */
  fail(message: string): void {
    this.#silence ??= new DarkroomError('CONNECTION_LOST', message, {
      origin: 'network',
      isTransient: true,
    });
    this.#controller.abort(this.#silence);
  }

  /** Nothing is awaited just now. */
  rest(): void {
    clearTimeout(this.#timer);
  }

  /** Ends the call, if it has not ended. */
  close(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener('abort', this.#abort);
    this.#controller.abort();
  }
}
