import type { Logger } from 'pino';
import { CountedLog } from './counted-log.ts';
import type { ReachedRequestLimit } from './open-requests.ts';
import { overloadAnswer, type OverloadAnswer } from './overload-answer.ts';

/** Which of the limits keeps a request out: over HTTP/2 nghttp2 keeps the last one. */
export type RequestLimit = ReachedRequestLimit | 'maxConcurrentStreams';

const messages: Readonly<Record<RequestLimit, string>> = {
  maxOpenRequests:
    'too many requests are open: try again later, or have the operator raise DARKROOM_MAX_OPEN_REQUESTS',
  maxOpenRequestsPerPeer:
    'too many requests from this address are open: end some, or have the operator raise DARKROOM_MAX_OPEN_REQUESTS_PER_PEER',
  maxConcurrentStreams:
    'too many requests of this connection wait for their turn: wait for answers, use more connections, or have the ' +
    'operator raise DARKROOM_MAX_CONCURRENT_STREAMS',
};

/** Why requests are refused, for the log. */
const causes: Readonly<Record<RequestLimit, string>> = {
  maxOpenRequests: 'as many as there may be are open (DARKROOM_MAX_OPEN_REQUESTS)',
  maxOpenRequestsPerPeer:
    'as many as one address may have are open (DARKROOM_MAX_OPEN_REQUESTS_PER_PEER)',
  maxConcurrentStreams: 'too many of one connection wait (DARKROOM_MAX_CONCURRENT_STREAMS)',
};

/** Tells the log of requests that are refused before anything of them is done, and clients of HTTP/1.1 why. */
export class RefusedRequests {
  readonly #log: CountedLog;

  constructor(logger: Logger) {
    this.#log = new CountedLog(logger, 'warn', 'refused');
  }

  /** What a client of HTTP/1.1 is answered, with 503. Over HTTP/2 REFUSED_STREAM says all (RFC 9113, section 8.7). */
  refuse(limit: RequestLimit, peer: string | undefined): OverloadAnswer {
    this.#log.tell(`requests are refused: ${causes[limit]}`, { peer });
    return overloadAnswer('TOO_MANY_OPEN_REQUESTS', messages[limit]);
  }
}
