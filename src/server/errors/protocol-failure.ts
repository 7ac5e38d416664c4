import type { DescMethod } from '@bufbuild/protobuf';
import { Code, type ConnectError } from '@connectrpc/connect';
import { DarkroomError, type FieldViolation } from '../../domain/darkroom-error.ts';

/** The largest message of a method that is taken, in bytes, as it comes and also after it is inflated. */
export type MessageLimitOf = (method: DescMethod) => number;

const chunkMethods = new Set(['UploadImage', 'UploadChunk']);

/** Whether the messages of a method are large because of the chunk in them. */
export function carriesChunk(method: DescMethod): boolean {
  return chunkMethods.has(method.name);
}

/** How connect's error for protobuf that cannot be decoded begins. */
const binaryError = 'parse binary: ';

/**
 * What connect says of a message that is said to be compressed, and is not, or not by what is said: gRPC's own words for it
 * are INTERNAL, but what is wrong is the caller's.
 */
const notUnpacked: ReadonlySet<string> = new Set([
  'decompression failed',
  'received compressed envelope, but do not know how to decompress',
]);

/**
 * What connect found wrong with a request before any handler saw it, as an error of the contract: a message
 * that is too large, cannot be decoded, or is in a way that is not spoken here. Undefined where the error is
 * none of these. Which of connect's errors it is can be told by its code and, for protobuf that cannot be
 * decoded, by its text alone (connect 2.2; a test holds it to that).
 *
 * @param maxMessageBytes the limit that connect was given.
 */
export function protocolFailure(
  error: ConnectError,
  method: DescMethod,
  maxMessageBytes: number,
): DarkroomError | undefined {
  if (error.details.length > 0) {
    return undefined;
  }
  const { code, rawMessage } = error;
  if (code === Code.ResourceExhausted) {
    return tooLarge(method, maxMessageBytes, error);
  }
  if (code === Code.InvalidArgument) {
    return malformed(method, rawMessage, error);
  }
  if (code === Code.Internal && rawMessage.startsWith(binaryError)) {
    return malformed(method, rawMessage.slice(binaryError.length), error);
  }
  if (code === Code.Internal && notUnpacked.has(rawMessage)) {
    return malformed(method, rawMessage, error);
  }
  if (code === Code.Unimplemented) {
    return new DarkroomError('UNSUPPORTED', rawMessage, { cause: error });
  }
  return undefined;
}

function tooLarge(method: DescMethod, maxMessageBytes: number, cause: unknown): DarkroomError {
  const isChunk = carriesChunk(method);
  return new DarkroomError(
    isChunk ? 'CHUNK_TOO_LARGE' : 'MESSAGE_TOO_LARGE',
    `a message of ${method.name} is larger than the ${maxMessageBytes} bytes that are taken` +
      (isChunk ? '; UploadLimits.max_chunk_bytes says how large its data may be' : ''),
    { metadata: { max_message_bytes: String(maxMessageBytes) }, cause },
  );
}

function malformed(method: DescMethod, why: string, cause: unknown): DarkroomError {
  const { typeName } = method.input;
  const violation = fieldViolation(typeName, why);
  return new DarkroomError('FIELD_INVALID', `the request is not a valid ${typeName}: ${why}`, {
    fieldViolations: violation === undefined ? [] : [violation],
    cause,
  });
}

/** protobuf-es names the field of a wrong JSON value: `cannot decode field pkg.Message.name from JSON: …`. */
function fieldViolation(typeName: string, why: string): FieldViolation | undefined {
  const [, path, description] = /^cannot decode field (\S+) from JSON: (.*)$/s.exec(why) ?? [];
  return path === undefined || description === undefined
    ? undefined
    : {
        field: path.startsWith(`${typeName}.`) ? path.slice(typeName.length + 1) : path,
        description: `cannot be read: ${description}`,
      };
}
