import type { DescMethod } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { Code, type ConnectError } from '@connectrpc/connect';
import { codeToString } from '@connectrpc/connect/protocol-connect';
import { ErrorInfoSchema } from '../../../gen/google/rpc/error_details_pb.ts';
import type { CallOutcome } from './call-outcome.ts';
import { pathOf, type NodeRequest, type NodeResponse } from './node-http.ts';
import type { RequestContext } from './request-context.ts';

/**
 * Writes one line when the response of a request is out, or its client is gone: method, code, reason, duration
 * in ms, peer. Calls that change something are logged as info, those that only read as debug, failures of the
 * service as warn, and those that should not be (INTERNAL) as error with all that was thrown.
 */
export function logWhenDone(
  request: NodeRequest,
  response: NodeResponse,
  context: RequestContext,
): void {
  const began = performance.now();
  const httpMethod = request.method;
  const path = pathOf(request);
  response.once('close', () => {
    const { method, failure } = context.outcome;
    context.outcome.isLogged = true;
    const code = codeOf(response, failure);
    const reason = failure?.findDetails(ErrorInfoSchema)[0]?.reason;
    const level = levelOf(request, context.outcome, reason);
    const isServerFault = level === 'warn' || level === 'error';
    context.logger[level](
      {
        method:
          method === undefined
            ? `${httpMethod} ${path}`
            : `${method.parent.typeName}/${method.name}`,
        code,
        ...(reason !== undefined && { reason }),
        durationMs: Math.round((performance.now() - began) * 10) / 10,
        peer: context.peer,
        ...(isServerFault && { err: failure?.cause ?? failure }),
      },
      isServerFault ? 'call failed' : 'call',
    );
  });
}

/** The gRPC code's name for RPCs; the HTTP status for what has no error. */
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

function levelOf(
  request: NodeRequest,
  { method, failure }: CallOutcome,
  reason: string | undefined,
): 'debug' | 'info' | 'warn' | 'error' {
  const code = failure?.code;
  if (code === Code.Internal || code === Code.Unknown) {
    return 'error';
  }
  // A draining service refuses calls as it should, and a lost connection is the network's failure.
  const isExpected = reason === 'SERVER_DRAINING' || reason === 'CONNECTION_LOST';
  if ((code === Code.Unavailable && !isExpected) || code === Code.DataLoss) {
    return 'warn';
  }
  return isRead(request, method) ? 'debug' : 'info';
}

/** Server streams only read in this service: watches and downloads. */
function isRead(request: NodeRequest, method: DescMethod | undefined): boolean {
  if (method === undefined) {
    return request.method === 'GET' || request.method === 'HEAD' || request.method === 'OPTIONS';
  }
  return (
    method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS ||
    method.methodKind === 'server_streaming' ||
    method.parent.typeName.startsWith('grpc.')
  );
}
