import type { DescMethod } from '@bufbuild/protobuf';
import { Code, ConnectError, type Interceptor } from '@connectrpc/connect';
import { isDatabaseAway } from '../../database/database-away.ts';
import { untilAborted } from '../../domain/abortable.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { databaseUnavailable } from './database-unavailable.ts';
import { errorDetails, errorMessage } from './error-details.ts';
import { protocolFailure, type MessageLimitOf } from './protocol-failure.ts';
import { requestContextOf, type RequestContext } from '../transport/request-context.ts';

/** The call in which something was thrown. */
export interface FailedCall {
  readonly requestId: string;
  /** Tells a call that was cancelled or ran out of time from one that failed. */
  readonly signal: AbortSignal;
  /** Set for RPCs: the method, and the limit that connect was given. */
  readonly rpc?: { readonly method: DescMethod; readonly maxMessageBytes: number };
}

/** A domain error as the caller is to see it: the reason and what goes with it as google.rpc details. */
export function connectErrorOf(error: DarkroomError, metadata?: Headers): ConnectError {
  const answer = new ConnectError(
    errorMessage(error.message),
    // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- both are gRPC's codes, with its numbers
    error.code as Code,
    metadata,
    undefined,
    error,
  );
  answer.details = errorDetails(error);
  return answer;
}

/**
 * What a caller is answered with for anything that was thrown in its call; `cause` is what was thrown, for the
 * log. Only domain errors and what connect says of the protocol keep their text: a database that is away
 * becomes UNAVAILABLE, and the rest INTERNAL, which tells the request's id and nothing else. Never UNKNOWN.
 */
export function answerTo(error: unknown, { requestId, signal, rpc }: FailedCall): ConnectError {
  if (error instanceof DarkroomError) {
    return connectErrorOf(error);
  }
  const end = endedBy(signal, error);
  if (end !== undefined) {
    return end;
  }
  if (error instanceof ConnectError && error.code !== Code.Unknown) {
    const failure = rpc && protocolFailure(error, rpc.method, rpc.maxMessageBytes);
    if (failure === undefined) {
      return error;
    }
    return connectErrorOf(failure, error.metadata);
  }
  if (isDatabaseAway(error)) {
    return connectErrorOf(
      databaseUnavailable('the database cannot be reached just now; try again', error),
    );
  }
  if (isAbort(error)) {
    return endOfCall(error);
  }
  return connectErrorOf(internalError(requestId, error));
}

/** The error for what should not be, of which nothing is told but where to look. */
export function internalError(requestId: string, cause: unknown): DarkroomError {
  return new DarkroomError(
    'INTERNAL',
    `the service failed in a way that it should not; tell its operator the request id ${requestId}`,
    { cause },
  );
}

/** How a call ended, if its signal has ended it and `error` is what came of that; else undefined. */
export function endedBy(signal: AbortSignal, error: unknown): ConnectError | undefined {
  return signal.aborted && (error === signal.reason || isAbort(error))
    ? endOfCall(signal.reason)
    : undefined;
}

/** As `answerTo`, and noted for the log. */
export function notedAnswer(
  error: unknown,
  context: RequestContext,
  call: Omit<FailedCall, 'requestId'>,
): ConnectError {
  const { requestId, outcome, logger } = context;
  const answer = answerTo(error, { requestId, ...call });
  outcome.failure = answer;
  if (outcome.isLogged === true && answer.code === Code.Internal) {
    logger.error(
      { err: error, method: outcome.method?.name },
      'call failed after its client had gone',
    );
  }
  return answer;
}

/**
 * Has every error of a handler answered by `answerTo`. What goes wrong with a request's messages while a
 * handler reads them reaches the handler as a domain error.
 *
 * @param maxMessageBytesOf the limits that connect was given.
 */
export function errorInterceptor(maxMessageBytesOf: MessageLimitOf): Interceptor {
  return (next) => async (request) => {
    const context = requestContextOf(request);
    const { method, signal } = request;
    const maxMessageBytes = maxMessageBytesOf(method);
    const answered = (error: unknown): never => {
      throw notedAnswer(error, context, { signal, rpc: { method, maxMessageBytes } });
    };
    try {
      if (!request.stream) {
        return await next(request);
      }
      const message = withErrors(request.message, (error) => {
        const isOfProtocol = error instanceof ConnectError;
        throw (isOfProtocol && protocolFailure(error, method, maxMessageBytes)) || error;
      });
      const response = await next({ ...request, message });
      // Interceptors are done when a stream begins: what happens later comes out of the iterable.
      if (!response.stream) {
        return response;
      }
      const { earlyEnd } = context;
      const answers =
        earlyEnd === undefined ? response.message : untilEnded(response.message, earlyEnd);
      return { ...response, message: withErrors(answers, answered) };
    } catch (error) {
      return answered(error);
    }
  };
}

/** The same iterable with its errors changed. By hand: an async generator costs more for each message. */
export function withErrors<T>(
  source: AsyncIterable<T>,
  changed: (error: unknown) => never,
): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const inner = source[Symbol.asyncIterator]();
      const outer: AsyncIterator<T> = { next: () => inner.next().catch(changed) };
      if (inner.return) {
        const end = inner.return.bind(inner);
        outer.return = (value) => end(value).catch(changed);
      }
      if (inner.throw) {
        const fail = inner.throw.bind(inner);
        outer.throw = (error) => fail(error).catch(changed);
      }
      return outer;
    },
  };
}

/** The same iterable, which fails as soon as the signal fires. */
function untilEnded<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const inner = source[Symbol.asyncIterator]();
      return {
        next: () => untilAborted(signal, inner.next()),
        // One that still waits is ended by its call's own signal.
        return: async (value) =>
          signal.aborted
            ? { done: true, value }
            : ((await inner.return?.(value)) ?? { done: true, value }),
      };
    },
  };
}

/** AbortSignal.timeout and AbortController's reasons, and PostgreSQL's query_canceled. */
function isAbort(error: unknown): boolean {
  return (
    error instanceof Error &&
    (error.name === 'AbortError' ||
      error.name === 'TimeoutError' ||
      ('code' in error && error.code === '57014'))
  );
}

/** A call that ended before its handler did: its signal's reason says how. */
function endOfCall(reason: unknown): ConnectError {
  if (reason instanceof ConnectError && reason.code !== Code.Unknown) {
    return reason;
  }
  return reason instanceof Error && reason.name === 'TimeoutError'
    ? new ConnectError('the time for the call is over', Code.DeadlineExceeded)
    : new ConnectError('the call was cancelled', Code.Canceled);
}
