import type { Code } from '@connectrpc/connect';
import { codeToHttpStatus } from '@connectrpc/connect/protocol-connect';
import type { FailureReason } from '../../domain/failure-reason.ts';
import { RestError } from './rest-error.ts';

/** Where Glance's documents have another status than what goes with the code of a reason. */
const statuses: Readonly<Partial<Record<FailureReason, number>>> = {
  IMAGE_PROTECTED: 403,
  METADEF_PROTECTED: 403,
  IMAGE_NOT_SHARED: 403,
  MESSAGE_TOO_LARGE: 413,
  QUOTA_EXCEEDED: 413,
  TOO_MANY_MEMBERS: 413,
};

/** The HTTP status of a failure, as Glance has it. @param thrown what it came of. */
export function statusOfFailure(thrown: unknown, code: Code, reason: string | undefined): number {
  if (thrown instanceof RestError) {
    return thrown.httpStatus;
  }
  const status =
    reason !== undefined && Object.hasOwn(statuses, reason)
      ? statuses[reason as FailureReason]
      : undefined;
  return status ?? codeToHttpStatus(code);
}
