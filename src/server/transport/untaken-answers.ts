import { constants } from 'node:http2';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { breakOff, type NodeResponse } from './node-http.ts';
import type { RequestContext } from './request-context.ts';

/** So many looks a timeout: an answer that is not taken is noticed at most that part of it late. */
const looksPerTimeout = 4;

/** Told of an answer that was not taken, just before it is ended. One for all: a function takes 0.1 KiB of each watcher. */
type OnUntaken = (call: RequestContext, failure: DarkroomError) => void;

/**
 * Ends answers that their clients do not take: a client that asks for images and reads nothing of them would hold for each
 * an open file and what was read for it, for ever. An answer is taken as long as, within a timeout, all that was
 * written to it goes out, or enough that there is room for more: a MiB of a download. What the service itself does not
 * write, such as the next event of a watch, is not waited for.
 */
export class UntakenAnswers {
  readonly #timeoutMs: number;
  readonly #onUntaken: OnUntaken;
  readonly #timer: NodeJS.Timeout;
  readonly #open = new Map<NodeResponse, RequestContext>();
  /** Since when nothing was taken of those of which something is to be, by `performance.now()`. */
  readonly #since = new Map<NodeResponse, number>();

  /** @param timeoutMs how long a client may take nothing, in ms. */
  constructor(timeoutMs: number, onUntaken: OnUntaken) {
    this.#timeoutMs = timeoutMs;
    this.#onUntaken = onUntaken;
    this.#timer = setInterval(() => this.#look(), timeoutMs / looksPerTimeout).unref();
  }

  /** Watches the answer of a call, until `leave`. */
  watch(response: NodeResponse, call: RequestContext): void {
    this.#open.set(response, call);
  }

  /** Forgets an answer: it is closed. */
  leave(response: NodeResponse): void {
    this.#open.delete(response);
    this.#since.delete(response);
  }

  /** Watches no more. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    for (const [response, call] of this.#open) {
      if (unsentBytes(response) === 0) {
        this.#since.delete(response);
        continue;
      }
      const since = this.#since.get(response);
      if (since === undefined) {
        this.#since.set(response, now);
        response.once('drain', () => this.#since.delete(response));
      } else if (now - since >= this.#timeoutMs) {
        this.leave(response);
        this.#onUntaken(
          call,
          new DarkroomError(
            'STREAM_IDLE',
            `the client took nothing of the answer for ${this.#timeoutMs / 1000} s`,
          ),
        );
        breakOff(response, constants.NGHTTP2_CANCEL);
      }
    }
  }
}

function unsentBytes(response: NodeResponse): number {
  return 'stream' in response ? response.stream.writableLength : response.writableLength;
}
