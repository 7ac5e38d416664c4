import { Code, ConnectError } from '@connectrpc/connect';
import { durationMs } from '@bufbuild/protobuf/wkt';
import { ErrorInfoSchema, RetryInfoSchema } from '../gen/google/rpc/error_details_pb.ts';

/** A failed call, as docs/upload-protocol.md tells clients to read it. */
export interface CallFailure {
  readonly code: Code;
  /** ErrorInfo.reason; undefined where the transport failed and the service said nothing. */
  readonly reason: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** RetryInfo.retry_delay in ms; 0 without. */
  readonly retryDelayMs: number;
  readonly message: string;
  /** Whether the client had waited for as long as it does, and no answer came. */
  readonly isOverdue: boolean;
}

/** Reads what a call threw. */
export function readFailure(error: unknown): CallFailure {
  const failure = ConnectError.from(error);
  const info = failure.findDetails(ErrorInfoSchema)[0];
  const retry = failure.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    code: failure.code,
    reason: info?.reason,
    metadata: info?.metadata ?? {},
    retryDelayMs: retry ? durationMs(retry) : 0,
    // The text of AbortSignal.timeout; connect-node drops the error itself.
    isOverdue: failure.rawMessage === 'The operation was aborted due to timeout',
    message: `${Code[failure.code]}${info ? `/${info.reason}` : ''}: ${failure.rawMessage}`,
  };
}
