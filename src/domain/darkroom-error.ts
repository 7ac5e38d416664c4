import type { Code } from '../../gen/google/rpc/code_pb.ts';
import { withHiddenEscaped } from './hidden-characters.ts';
import { failureReasons, type FailureReason } from './failure-reason.ts';

/** One field of a request and what is wrong with it, in words that complete "<field> …". */
export interface FieldViolation {
  /** Path of the field in the request, snake_case with dots: `image.name`. */
  readonly field: string;
  readonly description: string;
}

/** What an error carries besides its reason and message. */
export interface DarkroomErrorOptions {
  /** Small facts for programs, such as `expected_offset`; becomes ErrorInfo.metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly fieldViolations?: readonly FieldViolation[];
  /** When trying again makes sense, in ms from now; becomes RetryInfo. */
  readonly retryDelayMs?: number;
  /** The underlying error, for logs and for Fault.detail; never told to ordinary callers. */
  readonly cause?: unknown;
  /**
   * Overrides the reason's usual code. Only TASK_EXPIRED needs it: on a call it is
   * FAILED_PRECONDITION, on the fault that ended the task DEADLINE_EXCEEDED.
   */
  readonly code?: Code;
}

/**
 * An error that a caller is meant to see. The domain throws nothing else on purpose; whatever else
 * escapes is answered as INTERNAL without its text.
 *
 * The message says what was wrong, what was expected and what to do. What does not show in it is escaped.
 */
export class DarkroomError extends Error {
  override readonly name = 'DarkroomError';
  readonly reason: FailureReason;
  readonly code: Code;
  readonly metadata: Readonly<Record<string, string>>;
  readonly fieldViolations: readonly FieldViolation[];
  readonly retryDelayMs: number | undefined;

  constructor(reason: FailureReason, message: string, options: DarkroomErrorOptions = {}) {
    // What callers, sources and images wrote may be in it, and people read it in terminals.
    super(
      withHiddenEscaped(message),
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.reason = reason;
    this.code = options.code ?? failureReasons[reason].code;
    this.metadata = options.metadata ?? {};
    this.fieldViolations = options.fieldViolations ?? [];
    this.retryDelayMs = options.retryDelayMs;
  }

  /** The same error with more metadata. */
  with(metadata: Readonly<Record<string, string>>): DarkroomError {
    return new DarkroomError(this.reason, this.message, {
      code: this.code,
      metadata: { ...this.metadata, ...metadata },
      fieldViolations: this.fieldViolations,
      cause: this.cause,
      ...(this.retryDelayMs === undefined ? {} : { retryDelayMs: this.retryDelayMs }),
    });
  }
}

/** The error for one wrong field: `invalidField('image.name', 'must not be empty')`. */
export function invalidField(field: string, description: string): DarkroomError {
  return invalidFields([{ field, description }]);
}

/** The error for one or more wrong fields; `violations` must not be empty. */
export function invalidFields(violations: readonly FieldViolation[]): DarkroomError {
  const message = violations.map((v) => `${v.field} ${v.description}`).join('; ');
  return new DarkroomError('FIELD_INVALID', message, { fieldViolations: violations });
}
