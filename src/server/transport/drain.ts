import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { RequestBody } from './request-body.ts';

/** When to try again, on another process or on this one's successor, in ms. */
const retryDelayMs = 1000;

/** The two steps in which a server stops, as signals that calls can wait for. */
export class Drain {
  readonly #draining = new AbortController();
  readonly #ending = new AbortController();
  readonly #bodies = new Set<RequestBody>();

  /** Fires when the service begins to stop: streams that wait for something to happen end now. */
  get drainSignal(): AbortSignal {
    return this.#draining.signal;
  }

  /** Fires when the time for running calls is over: those that are left end now. */
  get endSignal(): AbortSignal {
    return this.#ending.signal;
  }

  /** Whether the service has begun to stop. */
  get isDraining(): boolean {
    return this.#draining.signal.aborted;
  }

  /** Has a body end with the time of running calls. Of a body and not a function, which takes 0.3 KiB of each watcher. */
  follow(body: RequestBody): void {
    this.#bodies.add(body);
  }

  /** The call of the body has ended. */
  unfollow(body: RequestBody): void {
    this.#bodies.delete(body);
  }

  /** Begins to stop. */
  begin(): void {
    this.#draining.abort(serverDraining());
  }

  /** The time for running calls is over. */
  end(): void {
    this.begin();
    this.#ending.abort(serverDraining());
    for (const body of this.#bodies) {
      body.fail(serverDraining());
    }
  }
}

/** What callers are told while the service stops. */
export function serverDraining(): DarkroomError {
  return new DarkroomError('SERVER_DRAINING', 'the service is stopping; try again', {
    retryDelayMs,
  });
}
