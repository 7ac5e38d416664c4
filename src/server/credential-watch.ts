import { endOfIdentity, type Identity } from '../identity/identity.ts';
import type { DarkroomError } from '../domain/darkroom-error.ts';
import type { NodeResponse } from './transport/node-http.ts';

/** How often it is looked whether credentials have ended, in ms. */
const intervalMs = 500;

/** As many are ended in one turn of the event loop, so that others are served meanwhile. */
const maxPerTurn = 200;

/** Ends a call; false if it has not quite begun yet, so that it has to be tried again. */
export type EndCall = (error: DarkroomError) => boolean;

/** A call that lasts. */
interface LastingCall {
  readonly identity: Identity;
  readonly end: EndCall;
}

/**
 * Ends calls that last, which are watches and uploads, when the credential that they began with expires or is revoked: within
 * a second or so. One timer for all, which is there only while there are such calls.
 */
export class CredentialWatch {
  readonly #calls = new Set<LastingCall>();
  #timer: NodeJS.Timeout | undefined;

  follow(identity: Identity, response: NodeResponse, end: EndCall): void {
    const call = { identity, end };
    this.#calls.add(call);
    response.on('close', () => {
      this.#calls.delete(call);
      if (this.#calls.size === 0) {
        clearInterval(this.#timer);
        this.#timer = undefined;
      }
    });
    this.#timer ??= setInterval(() => this.#look(), intervalMs).unref();
  }

  #look(): void {
    const now = Date.now();
    let ended = 0;
    for (const call of this.#calls) {
      const error = endOfIdentity(call.identity, now);
      if (error !== undefined && call.end(error)) {
        this.#calls.delete(call);
        ended += 1;
      }
      if (ended === maxPerTurn) {
        setImmediate(() => this.#look());
        return;
      }
    }
  }
}
