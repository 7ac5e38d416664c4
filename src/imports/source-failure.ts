import type { IncomingMessage } from 'node:http';
import { Code } from '../../gen/google/rpc/code_pb.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { FailureReason } from '../domain/failure-reason.ts';
import { CompressionError } from '../formats/compression-error.ts';

/** What failed at a source. */
export interface SourceFailureOptions {
  readonly cause?: unknown;
  /** The reason's usual one if not set. */
  readonly code?: Code | undefined;
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
      ...(options.code === undefined ? {} : { code: options.code }),
    });
    this.mayPass = options.mayPass;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }

  /** The same as one that may pass. @param why a sentence for people. */
  passing(why: string): SourceFailure {
    const { reason, cause, code, retryAfterMs } = this;
    const message = `${this.message} ${why}`;
    return new SourceFailure(reason, message, { cause, code, mayPass: true, retryAfterMs });
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
  if (error instanceof CompressionError && error.problem !== 'cut short') {
    return protocolInvalid(`What ${source} sent cannot be decompressed: ${error.message}.`, error);
  }
  return new SourceFailure(
    'SOURCE_CUT_SHORT',
    `The source ended the transfer after ${received} bytes, before it was whole: ${source}.`,
    { cause: error, mayPass: true },
  );
}

/** Statuses that may be gone in a moment; of a 4xx these alone (RFC 9110, RFC 6585, RFC 8470). */
const passingStatuses: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);
const longestRetryAfterMs = 600_000;

/** An answer that is none with the bytes. */
export function statusFailure(
  { statusCode = 0, statusMessage = '', headers }: IncomingMessage,
  source: string,
): SourceFailure {
  const mayPass = passingStatuses.has(statusCode);
  const seconds = Number(headers['retry-after'] ?? 0);
  const phrase = statusMessage.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 60);
  return new SourceFailure(
    'SOURCE_HTTP_STATUS',
    `The source answered ${statusCode}${phrase === '' ? '' : ` ${phrase}`}: ${source}.`,
    {
      code: mayPass ? Code.UNAVAILABLE : undefined,
      mayPass,
      retryAfterMs: seconds > 0 ? Math.min(seconds * 1000, longestRetryAfterMs) : 0,
    },
  );
}

/** A body that ended as one does that is whole, and is not. */
export function cutShort(message: string): SourceFailure {
  return new SourceFailure('SOURCE_CUT_SHORT', message, { mayPass: true });
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
