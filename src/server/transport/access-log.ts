import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import { defaultCaller, type KnownCaller } from '../../access/caller.ts';
import type { CallObserver, EndedCall } from './call-observer.ts';
import type { NodeRequest } from './node-http.ts';

/**
 * Writes one line for each call when it has ended: method, code, reason, duration in ms, peer, and who
 * called where that is known. Calls that change
 * something, and callers who may not, are logged as info, those that only read as debug, failures of the service as warn, and those that
 * should not be (INTERNAL) as error with all that was thrown.
 */
export const accessLog: CallObserver = ({ request, context }) => {
  return (ended) => {
    const { name, code, reason, failure, durationMs } = ended;
    const level = levelOf(request, ended);
    const isServerFault = level === 'warn' || level === 'error';
    context.logger[level](
      {
        method: name,
        code,
        ...(reason !== undefined && { reason }),
        durationMs: Math.round(durationMs * 10) / 10,
        peer: context.peer,
        ...whoIs(context.knownCaller),
        ...(isServerFault && { err: failure?.cause ?? failure }),
      },
      isServerFault ? 'call failed' : 'call',
    );
  };
};

/** Nobody in particular is not worth a word. */
function whoIs(caller: KnownCaller | undefined): object | undefined {
  return caller === undefined || caller === defaultCaller
    ? undefined
    : { project: caller.projectId, user: caller.userId };
}

function levelOf(
  request: NodeRequest,
  { method, failure, reason }: EndedCall,
): 'debug' | 'info' | 'warn' | 'error' {
  const code = failure?.code;
  if (code === Code.Internal || code === Code.Unknown) {
    return 'error';
  }
  // A draining service refuses calls as it should, and a lost connection is the network's failure.
  const isExpected = reason === 'SERVER_DRAINING' || reason === 'CONNECTION_LOST';
  // Of all that is called DATA_LOSS, this alone was lost here.
  const isLost = reason === 'STORED_BYTES_LOST';
  if ((code === Code.Unavailable && !isExpected) || isLost) {
    return 'warn';
  }
  // Of a read that its client did not go on with an operator wants to know: it held what others may need.
  const wasLeft = reason === 'STREAM_IDLE';
  return isRead(request, method) && !wasLeft ? 'debug' : 'info';
}

/** Server streams only read in this service: watches and downloads. */
function isRead(request: NodeRequest, method: EndedCall['method']): boolean {
  if (method === undefined) {
    return request.method === 'GET' || request.method === 'HEAD' || request.method === 'OPTIONS';
  }
  return (
    method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS ||
    method.methodKind === 'server_streaming' ||
    method.parent.typeName.startsWith('grpc.')
  );
}
