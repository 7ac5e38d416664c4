import { Code as ConnectCode, ConnectError } from '@connectrpc/connect';
import { Code } from '../../../gen/google/rpc/code_pb.ts';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from '../../../gen/google/rpc/error_details_pb.ts';
import type { Fault } from '../../../gen/darkroom/v1/fault_pb.ts';
import { failureReasons, type FailureReason } from '../../domain/failure-reason.ts';

/** Reasons that the client itself gives; all others are the service's. */
export type ClientReason =
  /** No connection could be made: nothing was done. */
  | 'UNREACHABLE'
  /** No secure connection: the certificate, or the protocol. Nothing was done. */
  | 'TLS_FAILED'
  /** No answer in time. */
  | 'TIMED_OUT'
  /** Something answered that is not Darkroom: a proxy, or another service. */
  | 'FOREIGN_ANSWER'
  /** The service answered with what the contract does not have. */
  | 'ANSWER_INVALID'
  /** The source of an upload failed; `cause` says how. */
  | 'SOURCE_UNREADABLE'
  /** The service asks for bytes of a stream that are gone; the upload goes on only from a source that can be read again. */
  | 'SOURCE_NOT_SEEKABLE'
  /** The function that makes a snapshot threw. The task has the fault. */
  | 'PRODUCER_FAILED'
  /** The target of a download could not be written; `cause` says how. */
  | 'TARGET_UNWRITABLE'
  /** The task was cancelled. */
  | 'TASK_CANCELLED'
  /** The image is QUEUED without a live task, or DELETED. */
  | 'IMAGE_NOT_COMING'
  /** The client was closed. */
  | 'CLIENT_CLOSED'
  /** An option cannot be. */
  | 'OPTION_INVALID';

/** Why something failed: see `failureReasons` and ClientReason. A newer service, or a producer, may give others. */
export type DarkroomReason = FailureReason | ClientReason | (string & {});

/** Who says that something failed: the service by its answer, the way to it, or this library. */
export type ErrorOrigin = 'service' | 'network' | 'client';

/** One field of a request and what is wrong with it, in words that complete "<field> …". */
export interface FieldViolation {
  /** Path of the field in the request: `image.name`. */
  readonly field: string;
  readonly description: string;
}

/** What an error says besides its reason and its message. */
export interface DarkroomErrorFacts {
  readonly origin?: ErrorOrigin;
  readonly code?: Code;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly fieldViolations?: readonly FieldViolation[];
  /** In ms from now. */
  readonly retryAfterMs?: number | undefined;
  readonly isTransient?: boolean;
  readonly fault?: Fault | undefined;
  readonly cause?: unknown;
}

/** What every call of the client fails with, but for an AbortSignal, whose own reason is thrown. */
export class DarkroomError extends Error {
  override readonly name = 'DarkroomError';
  readonly reason: DarkroomReason;
  /** The google.rpc.Code. */
  readonly code: Code;
  readonly origin: ErrorOrigin;
  /** Small facts of the service, such as `expected_offset`, `role` or `limit`. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly fieldViolations: readonly FieldViolation[];
  /** When the service wants to be asked again at the earliest, in ms from when it said so. */
  readonly retryAfterMs: number | undefined;
  /** Whether the same call may succeed a little later without anybody doing anything. */
  readonly isTransient: boolean;
  /** The fault that ended the task, where that is what failed. */
  readonly fault: Fault | undefined;

  constructor(reason: DarkroomReason, message: string, facts: DarkroomErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.reason = reason;
    this.origin = facts.origin ?? 'client';
    this.code = facts.code ?? codeOf(reason);
    this.metadata = facts.metadata ?? {};
    this.fieldViolations = facts.fieldViolations ?? [];
    this.retryAfterMs = facts.retryAfterMs;
    this.isTransient = facts.isTransient ?? false;
    this.fault = facts.fault;
  }

  /** Whatever a call of Connect threw, as a DarkroomError. */
  static from(error: unknown): DarkroomError {
    return error instanceof DarkroomError ? error : fromConnect(ConnectError.from(error));
  }

  /** What ended a task that FAILED. */
  static ofFault(fault: Fault): DarkroomError {
    return new DarkroomError(fault.reason, fault.message, {
      origin: 'service',
      code: fault.code,
      fault,
    });
  }
}

/** Reasons that pass by themselves; what else may be tried again, somebody has to mend first. */
const transientReasons: ReadonlySet<string> = new Set<FailureReason>([
  'SERVER_DRAINING',
  'DATABASE_UNAVAILABLE',
  'STORAGE_UNAVAILABLE',
  'IDENTITY_UNAVAILABLE',
  'STORAGE_FULL',
  'TOO_MANY_UPLOADS',
  'TOO_MANY_DOWNLOADS',
  'TOO_MANY_WATCHES',
  'TOO_MANY_CONNECTIONS',
  'TOO_MANY_OPEN_REQUESTS',
  'STREAM_IDLE',
  'STREAM_TOO_SLOW',
  'CONNECTION_LOST',
  'SERVICE_LOST',
  'INTERNAL',
]);

/** The domain of the service's ErrorInfo. */
const errorDomain = 'darkroom';

function fromConnect(error: ConnectError): DarkroomError {
  const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === errorDomain);
  const code: Code = error.code;
  if (info === undefined) {
    return fromNetwork(error, code);
  }
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return new DarkroomError(info.reason, error.rawMessage, {
    origin: 'service',
    code,
    metadata: info.metadata,
    fieldViolations: error
      .findDetails(BadRequestSchema)
      .flatMap(({ fieldViolations }) => fieldViolations)
      .map(({ field, description }) => ({ field, description })),
    retryAfterMs:
      delay === undefined ? undefined : Number(delay.seconds) * 1000 + delay.nanos / 1e6,
    // Quotas by the second pass by themselves, and say when.
    isTransient:
      transientReasons.has(info.reason) ||
      (info.reason === 'QUOTA_EXCEEDED' && delay !== undefined),
    cause: error,
  });
}

/** Codes that say that the way to the service broke, where no answer of the service itself says more. */
const brokenCodes: ReadonlySet<ConnectCode> = new Set([
  ConnectCode.Canceled,
  ConnectCode.Unknown,
  ConnectCode.Aborted,
  ConnectCode.Internal,
  ConnectCode.Unavailable,
  ConnectCode.DataLoss,
  ConnectCode.ResourceExhausted,
]);

const unreachable = /ECONNREFUSED|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN|ENOENT/;
const insecure = /certificate|CERT_|SELF_SIGNED|ERR_TLS|ERR_SSL|EPROTO|altname/i;

function fromNetwork(error: ConnectError, code: Code): DarkroomError {
  const facts = { origin: 'network', code, cause: error } as const;
  const text = causes(error);
  if (insecure.test(text)) {
    return new DarkroomError('TLS_FAILED', error.rawMessage, facts);
  }
  if (unreachable.test(text)) {
    return new DarkroomError('UNREACHABLE', error.rawMessage, { ...facts, isTransient: true });
  }
  if (error.code === ConnectCode.DeadlineExceeded) {
    return new DarkroomError('TIMED_OUT', error.rawMessage, { ...facts, isTransient: true });
  }
  if (brokenCodes.has(error.code)) {
    return new DarkroomError('CONNECTION_LOST', error.rawMessage, { ...facts, isTransient: true });
  }
  return new DarkroomError('FOREIGN_ANSWER', error.rawMessage, facts);
}

/** The messages and the codes of an error and of what caused it. */
function causes(error: unknown): string {
  const texts: string[] = [];
  const seen = new Set<unknown>();
  for (let at = error; at instanceof Error && !seen.has(at); at = at.cause) {
    seen.add(at);
    const code: unknown = 'code' in at ? at.code : undefined;
    texts.push(at.message, typeof code === 'string' ? code : '');
  }
  return texts.join(' ');
}

function codeOf(reason: DarkroomReason): Code {
  return Object.hasOwn(failureReasons, reason)
    ? failureReasons[reason as FailureReason].code
    : (clientCodes[reason] ?? Code.UNKNOWN);
}

const clientCodes: Readonly<Record<string, Code>> = {
  UNREACHABLE: Code.UNAVAILABLE,
  TLS_FAILED: Code.UNAVAILABLE,
  TIMED_OUT: Code.DEADLINE_EXCEEDED,
  FOREIGN_ANSWER: Code.UNKNOWN,
  ANSWER_INVALID: Code.INTERNAL,
  SOURCE_UNREADABLE: Code.DATA_LOSS,
  SOURCE_NOT_SEEKABLE: Code.FAILED_PRECONDITION,
  PRODUCER_FAILED: Code.ABORTED,
  TARGET_UNWRITABLE: Code.ABORTED,
  TASK_CANCELLED: Code.ABORTED,
  IMAGE_NOT_COMING: Code.NOT_FOUND,
  CLIENT_CLOSED: Code.CANCELLED,
  OPTION_INVALID: Code.INVALID_ARGUMENT,
} satisfies Record<ClientReason, Code>;
