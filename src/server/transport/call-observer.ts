import { Code, type ConnectError } from '@connectrpc/connect';
import { codeToString } from '@connectrpc/connect/protocol-connect';
import { ErrorInfoSchema } from '../../../gen/google/rpc/error_details_pb.ts';
import type { CallOutcome } from './call-outcome.ts';
import { pathOf, type NodeRequest, type NodeResponse } from './node-http.ts';
import type { RequestContext } from './request-context.ts';

/** A request of any protocol that has just come. */
export interface BegunCall {
  readonly request: NodeRequest;
  readonly context: RequestContext;
}

/** How a call ended. */
export interface EndedCall {
  /** `darkroom.v1.ImageService/GetImage` for RPCs; method and path of other requests. */
  readonly name: string;
  /** The RPC; undefined for other requests and for unknown methods. */
  readonly method: CallOutcome['method'];
  /** The gRPC code's name for RPCs; the HTTP status for what has no error. */
  readonly code: string | number;
  /** The reason of the failure, where it has one. */
  readonly reason: string | undefined;
  readonly failure: ConnectError | undefined;
  /** ms from the request's head to the response's end, or to the loss of its client. */
  readonly durationMs: number;
}

/**
 * Told of each call as it begins; what it returns is called once when the response is out or the client is
 * gone. For the log, for metrics and traces: handlers and the domain know nothing of it. Must not throw.
 */
export type CallObserver = (begun: BegunCall) => (ended: EndedCall) => void;

/**
 * Tells the observers of a call.
 *
 * @returns to be called once, when the response is closed.
 */
export function observeCall(
  request: NodeRequest,
  response: NodeResponse,
  context: RequestContext,
  observers: readonly CallObserver[],
): () => void {
  const began = performance.now();
  const observing = observers.map((observe) => observe({ request, context }));
  return () => {
    const { method, failure } = context.outcome;
    context.outcome.isLogged = true;
    const ended: EndedCall = {
      name:
        method === undefined
          ? `${request.method} ${pathOf(request)}`
          : `${method.parent.typeName}/${method.name}`,
      method,
      code: codeOf(response, failure),
      reason: failure?.findDetails(ErrorInfoSchema)[0]?.reason,
      failure,
      durationMs: performance.now() - began,
    };
    for (const tell of observing) {
      tell(ended);
    }
  };
}

function codeOf(response: NodeResponse, failure: ConnectError | undefined): string | number {
  if (!isWritten(response)) {
    const isLate = failure?.code === Code.DeadlineExceeded;
    return nameOf(isLate ? Code.DeadlineExceeded : Code.Canceled);
  }
  if (failure !== undefined) {
    return nameOf(failure.code);
  }
  return response.statusCode === 200 ? 'OK' : response.statusCode;
}

function nameOf(code: Code): string {
  return codeToString(code).toUpperCase();
}

function isWritten(response: NodeResponse): boolean {
  return 'stream' in response
    ? response.writableEnded && !response.stream.aborted
    : response.writableFinished;
}
