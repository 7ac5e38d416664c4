import { Code } from '../../gen/google/rpc/code_pb.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { FailureReason } from '../domain/failure-reason.ts';

/** What failed at a source. */
export interface SourceFailureOptions {
  readonly cause?: unknown;
  /** Whether the same may succeed a little later. */
  readonly mayPass: boolean;
  /** How long the source asks to be left alone, in ms. */
  readonly retryAfterMs?: number | undefined;
}

/** An error of a source: what it did, and whether a worker tries it again by itself. */
export class SourceFailure extends DarkroomError {
  readonly mayPass: boolean;
  readonly retryAfterMs: number;

  constructor(reason: FailureReason, message: string, options: SourceFailureOptions) {
    super(reason, message, {
      cause: options.cause,
      ...(reason === 'SOURCE_HTTP_STATUS' && options.mayPass ? { code: Code.UNAVAILABLE } : {}),
    });
    this.mayPass = options.mayPass;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}

const unresolved: ReadonlySet<string> = new Set([
  'ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA', 'ENODATA', 'ESERVFAIL',
]); // prettier-ignore
const unreachable: ReadonlySet<string> = new Set([
  'ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL', 'EHOSTDOWN',
]); // prettier-ignore

/** What an error of Node says of a source that gave no answer yet. */
export function failureToAnswer(error: unknown, source: string): DarkroomError {
  if (error instanceof DarkroomError) {
    return error;
  }
  const code = codeOf(error);
  if (unresolved.has(code)) {
    const why = code === 'ENOTFOUND' ? 'There is no such name' : 'The name could not be resolved';
    return new SourceFailure('SOURCE_NAME_UNRESOLVED', `${why} (${code}): ${source}.`, {
      cause: error,
      mayPass: true,
    });
  }
  if (unreachable.has(code)) {
    const why = code === 'ECONNREFUSED' ? 'refused the connection' : 'cannot be reached';
    return new SourceFailure('SOURCE_UNREACHABLE', `The source ${why} (${code}): ${source}.`, {
      cause: error,
      mayPass: true,
    });
  }
  if (code === 'ETIMEDOUT') {
    return new SourceFailure('SOURCE_TIMEOUT', `The source took too long (${code}): ${source}.`, {
      cause: error,
      mayPass: true,
    });
  }
  if (code.startsWith('HPE_')) {
    return protocolInvalid(`What ${source} answered is no HTTP/1.1 (${code}).`, error);
  }
  return new SourceFailure(
    'SOURCE_CONNECTION_LOST',
    `The connection broke before the source answered${code === '' ? '' : ` (${code})`}: ${source}.`,
    { cause: error, mayPass: true },
  );
}

/** What an error of Node says of a source that was sending. */
export function failureOfBody(error: unknown, source: string, received: number): DarkroomError {
  if (error instanceof DarkroomError) {
    return error;
  }
  const code = codeOf(error);
  if (code.startsWith('HPE_')) {
    return protocolInvalid(`What ${source} sent is no HTTP/1.1 (${code}).`, error);
  }
  if (code.startsWith('Z_') && code !== 'Z_BUF_ERROR') {
    return protocolInvalid(`What ${source} sent cannot be decompressed (${code}).`, error);
  }
  return new SourceFailure(
    'SOURCE_CUT_SHORT',
    `The source ended the transfer after ${received} bytes, before it was whole: ${source}.`,
    { cause: error, mayPass: true },
  );
}

/** An answer that makes no sense, and will not by being asked again. */
export function protocolInvalid(message: string, cause?: unknown): SourceFailure {
  return new SourceFailure('SOURCE_PROTOCOL_INVALID', message, { cause, mayPass: false });
}

/** The source has other bytes than it had: what is stored of it is useless. */
export function sourceChanged(message: string): SourceFailure {
  return new SourceFailure('SOURCE_CHANGED', `${message} RetryTask begins from the first byte.`, {
    mayPass: false,
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : '';
}
