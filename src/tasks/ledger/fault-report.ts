import type { Code } from '../../../gen/google/rpc/code_pb.ts';
import type { DarkroomError } from '../../domain/darkroom-error.ts';
import { failureReasons, type FailureReason } from '../../domain/failure-reason.ts';
import { withHiddenEscaped } from '../../domain/hidden-characters.ts';
import type { FaultOrigin } from '../../records/fault.ts';

/** A fault as it is first known; the ledger adds where and when. */
export interface FaultReport {
  readonly reason: FailureReason | (string & {});
  readonly code: Code;
  /** For any user; cut at 1,024 characters. */
  readonly message: string;
  /** For operators; cut at 4,096 characters. */
  readonly detail?: string;
  readonly origin: FaultOrigin;
  readonly retryable: boolean;
}

/** The fault that tells of an error of the service's own. */
export function faultOf(error: DarkroomError): FaultReport {
  return {
    reason: error.reason,
    code: error.code,
    message: error.message,
    // Certificates and answers of sources may be quoted in it.
    detail: withHiddenEscaped(describeCause(error.cause)),
    origin: 'SERVER',
    retryable: failureReasons[error.reason].retryable,
  };
}

function describeCause(cause: unknown): string {
  if (cause instanceof Error) {
    const further = cause.cause === undefined ? '' : ` (${describeCause(cause.cause)})`;
    return `${cause.name}: ${cause.message}${further}`;
  }
  return typeof cause === 'string' ? cause : '';
}
