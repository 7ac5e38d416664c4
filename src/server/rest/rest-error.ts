import { DarkroomError, type DarkroomErrorOptions } from '../../domain/darkroom-error.ts';
import type { FailureReason } from '../../domain/failure-reason.ts';

/** An error for which Glance has another HTTP status than what goes with its reason. */
export class RestError extends DarkroomError {
  readonly httpStatus: number;

  constructor(
    httpStatus: number,
    reason: FailureReason,
    message: string,
    options: DarkroomErrorOptions = {},
  ) {
    super(reason, message, options);
    this.httpStatus = httpStatus;
  }

  /** The same error with another status. */
  static of(error: DarkroomError, httpStatus: number): RestError {
    const { reason, message, code, metadata, fieldViolations, retryDelayMs, cause } = error;
    return new RestError(httpStatus, reason, message, {
      code,
      metadata,
      fieldViolations,
      cause,
      ...(retryDelayMs !== undefined && { retryDelayMs }),
    });
  }
}

/** The error for one wrong field, where Glance does not answer it with 400; in the words of `invalidField`. */
export function refusedField(httpStatus: number, field: string, description: string): RestError {
  return new RestError(httpStatus, 'FIELD_INVALID', `${field} ${description}`, {
    fieldViolations: [{ field, description }],
  });
}
