import {
  endOfIdentity,
  isSameIdentity,
  credentialInvalid,
  type Identity,
} from '../identity/identity.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { Identify } from './gate.ts';
import type { NodeResponse } from './transport/node-http.ts';

/** How often it is looked whether credentials have ended, in ms. */
const intervalMs = 500;

/** As many are ended in one turn of the event loop, so that others are served meanwhile. */
const maxPerTurn = 200;

/** When a provider that cannot tell just now whether a credential still holds is asked again, in ms. */
const retryMs = 5000;

/** A call that lasts. */
export interface LastingCall {
  readonly identity: Identity;
  /** Asks anew whom its credential stands for. */
  readonly identifyAgain?: Identify | undefined;
  /** Ends the call; false if it has not quite begun yet, so that it has to be tried again. */
  readonly end: (error: DarkroomError) => boolean;
}

/** What is known of its credential. */
interface Followed {
  readonly call: LastingCall;
  askAgainAtMs: number;
  isAsking: boolean;
  refusal: DarkroomError | undefined;
}

/**
 * Ends calls that last, which are watches and uploads, when the credential that they began with expires or is revoked: within
 * a second or so where its provider tells so, and else when that is asked again. One timer for all, which is there only while
 * there are such calls.
 */
export class CredentialWatch {
  readonly #calls = new Set<Followed>();
  #timer: NodeJS.Timeout | undefined;

  follow(call: LastingCall, response: NodeResponse): void {
    const { identity, identifyAgain } = call;
    const followed: Followed = {
      call,
      askAgainAtMs: (identifyAgain && identity.askAgainAtMs) ?? Number.POSITIVE_INFINITY,
      isAsking: false,
      refusal: undefined,
    };
    this.#calls.add(followed);
    response.on('close', () => {
      this.#calls.delete(followed);
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
    for (const followed of this.#calls) {
      const { call } = followed;
      const error = followed.refusal ?? endOfIdentity(call.identity, now);
      if (error === undefined) {
        if (followed.askAgainAtMs <= now && !followed.isAsking) {
          void askAgain(followed);
        }
      } else if (call.end(error)) {
        this.#calls.delete(followed);
        ended += 1;
      }
      if (ended === maxPerTurn) {
        setImmediate(() => this.#look());
        return;
      }
    }
  }
}

/** The call goes on while nothing can be said of its credential: until that expires. */
async function askAgain(followed: Followed): Promise<void> {
  const { identity: before, identifyAgain } = followed.call;
  followed.isAsking = true;
  try {
    const identity = (await identifyAgain?.()) ?? before;
    followed.askAgainAtMs = identity.askAgainAtMs ?? Number.POSITIVE_INFINITY;
    if (!isSameIdentity(before, identity)) {
      followed.refusal = credentialInvalid('the credential does not stand for the same any more');
    }
  } catch (error) {
    followed.askAgainAtMs = Date.now() + retryMs;
    if (error instanceof DarkroomError && error.reason !== 'IDENTITY_UNAVAILABLE') {
      followed.refusal = error;
    }
  } finally {
    followed.isAsking = false;
  }
}
