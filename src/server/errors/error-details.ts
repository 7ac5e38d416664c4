import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { ConnectError } from '@connectrpc/connect';
import {
  BadRequest_FieldViolationSchema,
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from '../../../gen/google/rpc/error_details_pb.ts';
import type { FieldViolation } from '../../domain/darkroom-error.ts';
import type { FailureReason } from '../../domain/failure-reason.ts';

/** The domain of every ErrorInfo of the service. */
export const errorDomain = 'darkroom';

/**
 * gRPC carries an error in trailers, twice its message, and grpc-java and grpc's C core take 8 KiB of them in
 * all: 2 KiB for the message with its characters escaped, once more at most as much for its base64, and 4 KiB
 * for the base64 of the details.
 */
const maxEscapedMessageCharacters = 2048;
const maxDetailBytes = 3 * 1024;
const maxMetadataBytes = 1024;
const maxValueCharacters = 256;

/** What an error says besides its code and its message. */
export interface ErrorFacts {
  readonly reason: FailureReason;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly fieldViolations?: readonly FieldViolation[] | undefined;
  /** In ms. */
  readonly retryDelayMs?: number | undefined;
}

/**
 * The facts as google.rpc details, 3 KiB at most: ErrorInfo always, RetryInfo and BadRequest where there is
 * something to say. Long values are cut, and metadata and field violations that do not fit are left out.
 */
export function errorDetails(facts: ErrorFacts): ConnectError['details'] {
  const info = create(ErrorInfoSchema, { reason: facts.reason, domain: errorDomain });
  let room = maxMetadataBytes;
  for (const [key, value] of Object.entries(facts.metadata ?? {})) {
    const short = cut(value, maxValueCharacters);
    // 8 bytes for the tags and lengths around them.
    room -= 8 + Buffer.byteLength(key) + Buffer.byteLength(short);
    if (room >= 0) {
      info.metadata[key] = short;
    }
  }
  const details: ConnectError['details'] = [{ desc: ErrorInfoSchema, value: info }];
  if (facts.retryDelayMs !== undefined) {
    const retryDelay = durationFromMs(facts.retryDelayMs);
    details.push({ desc: RetryInfoSchema, value: create(RetryInfoSchema, { retryDelay }) });
  }
  const badRequest = create(BadRequestSchema);
  room = maxDetailBytes - maxMetadataBytes;
  for (const { field, description } of facts.fieldViolations ?? []) {
    const violation = {
      field: cut(field, maxValueCharacters),
      description: cut(description, maxValueCharacters),
    };
    // 16 bytes for the tags and lengths around them.
    room -= 16 + Buffer.byteLength(violation.field) + Buffer.byteLength(violation.description);
    if (room < 0) {
      break;
    }
    badRequest.fieldViolations.push(create(BadRequest_FieldViolationSchema, violation));
  }
  if (badRequest.fieldViolations.length > 0) {
    details.push({ desc: BadRequestSchema, value: badRequest });
  }
  return details;
}

/** An error's message, cut to what fits into an answer. */
export function errorMessage(message: string): string {
  let text = cut(message, maxEscapedMessageCharacters);
  while (encodeURIComponent(text).length > maxEscapedMessageCharacters) {
    text = cut(text, Math.floor(text.length * 0.8));
  }
  return text;
}

/** Cut to a length, and without halves of characters: encodeURIComponent throws on them. */
function cut(text: string, length: number): string {
  return (text.length > length ? `${text.slice(0, length - 1)}…` : text).toWellFormed();
}
