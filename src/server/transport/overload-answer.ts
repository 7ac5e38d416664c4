import type { FailureReason } from '../../domain/failure-reason.ts';

/** What a client of HTTP/1.1 is told with 503 where it is one too many. */
export interface OverloadAnswer {
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: string;
}

/**
 * The answer to what is one too many of something, such that it may be tried again soon on another connection.
 *
 * @param message for people.
 */
export function overloadAnswer(reason: FailureReason, message: string): OverloadAnswer {
  const body = JSON.stringify({ code: 'UNAVAILABLE', reason, message });
  return {
    headers: {
      connection: 'close',
      'retry-after': 1,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    },
    body,
  };
}
