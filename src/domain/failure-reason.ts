import { Code } from '../../gen/google/rpc/code_pb.ts';

/**
 * Every reason that the service gives for a failed call or records on a fault, with the
 * google.rpc.Code that goes with it and whether trying the same again can help.
 *
 * Reasons are part of the contract: they are never renamed, and new ones are also described in
 * proto/darkroom/v1.
 */
export const failureReasons = {
  FIELD_INVALID: { code: Code.INVALID_ARGUMENT, retryable: false },
  FRAME_ORDER: { code: Code.INVALID_ARGUMENT, retryable: true },
  PAGE_TOKEN_INVALID: { code: Code.INVALID_ARGUMENT, retryable: false },
  RESUME_TOKEN_INVALID: { code: Code.INVALID_ARGUMENT, retryable: false },
  HOST_NOT_ALLOWED: { code: Code.PERMISSION_DENIED, retryable: false },
  TLS_REQUIRED: { code: Code.FAILED_PRECONDITION, retryable: false },
  CLIENT_CERTIFICATE_REFUSED: { code: Code.PERMISSION_DENIED, retryable: false },
  ORIGIN_NOT_ALLOWED: { code: Code.PERMISSION_DENIED, retryable: false },
  CREDENTIAL_MISSING: { code: Code.UNAUTHENTICATED, retryable: false },
  // An upload that was ended by it goes on with another credential.
  CREDENTIAL_INVALID: { code: Code.UNAUTHENTICATED, retryable: true },
  CREDENTIAL_EXPIRED: { code: Code.UNAUTHENTICATED, retryable: true },
  ROLE_INSUFFICIENT: { code: Code.PERMISSION_DENIED, retryable: false },
  PROJECT_NOT_ALLOWED: { code: Code.PERMISSION_DENIED, retryable: false },
  IDENTITY_UNAVAILABLE: { code: Code.UNAVAILABLE, retryable: true },
  IMAGE_NOT_FOUND: { code: Code.NOT_FOUND, retryable: false },
  TASK_NOT_FOUND: { code: Code.NOT_FOUND, retryable: false },
  REQUEST_ID_REUSED: { code: Code.ALREADY_EXISTS, retryable: false },
  IMAGE_PROTECTED: { code: Code.FAILED_PRECONDITION, retryable: false },
  IMAGE_STATE_INVALID: { code: Code.FAILED_PRECONDITION, retryable: false },
  TASK_STATE_INVALID: { code: Code.FAILED_PRECONDITION, retryable: false },
  TASK_TERMINAL: { code: Code.FAILED_PRECONDITION, retryable: false },
  TASK_EXPIRED: { code: Code.DEADLINE_EXCEEDED, retryable: true },
  WRITER_ACTIVE: { code: Code.FAILED_PRECONDITION, retryable: true },
  ETAG_MISMATCH: { code: Code.ABORTED, retryable: true },
  OFFSET_MISMATCH: { code: Code.ABORTED, retryable: true },
  WRITER_FENCED: { code: Code.ABORTED, retryable: false },
  IMAGE_DELETED: { code: Code.ABORTED, retryable: false },
  OFFSET_OUT_OF_RANGE: { code: Code.OUT_OF_RANGE, retryable: false },
  SIZE_SHORT: { code: Code.OUT_OF_RANGE, retryable: true },
  SIZE_EXCEEDED: { code: Code.OUT_OF_RANGE, retryable: true },
  CHUNK_CHECKSUM_MISMATCH: { code: Code.DATA_LOSS, retryable: true },
  REPLAY_MISMATCH: { code: Code.DATA_LOSS, retryable: true },
  DIGEST_MISMATCH: { code: Code.DATA_LOSS, retryable: true },
  STORED_BYTES_LOST: { code: Code.DATA_LOSS, retryable: true },
  CHUNK_TOO_LARGE: { code: Code.RESOURCE_EXHAUSTED, retryable: true },
  MESSAGE_TOO_LARGE: { code: Code.RESOURCE_EXHAUSTED, retryable: false },
  STORAGE_FULL: { code: Code.RESOURCE_EXHAUSTED, retryable: true },
  TOO_MANY_DOWNLOADS: { code: Code.RESOURCE_EXHAUSTED, retryable: true },
  TOO_MANY_UPLOADS: { code: Code.RESOURCE_EXHAUSTED, retryable: true },
  CONNECTION_LOST: { code: Code.UNAVAILABLE, retryable: true },
  SERVICE_LOST: { code: Code.UNAVAILABLE, retryable: true },
  TOO_MANY_CONNECTIONS: { code: Code.UNAVAILABLE, retryable: true },
  SERVER_DRAINING: { code: Code.UNAVAILABLE, retryable: true },
  STORAGE_UNAVAILABLE: { code: Code.UNAVAILABLE, retryable: true },
  DATABASE_UNAVAILABLE: { code: Code.UNAVAILABLE, retryable: true },
  STREAM_IDLE: { code: Code.DEADLINE_EXCEEDED, retryable: true },
  STREAM_TOO_SLOW: { code: Code.DEADLINE_EXCEEDED, retryable: true },
  COMPRESSION_INVALID: { code: Code.DATA_LOSS, retryable: true },
  FORMAT_MISMATCH: { code: Code.INVALID_ARGUMENT, retryable: true },
  FORMAT_UNSAFE: { code: Code.INVALID_ARGUMENT, retryable: true },
  SOURCE_NAME_UNRESOLVED: { code: Code.UNAVAILABLE, retryable: true },
  SOURCE_UNREACHABLE: { code: Code.UNAVAILABLE, retryable: true },
  SOURCE_CONNECTION_LOST: { code: Code.UNAVAILABLE, retryable: true },
  SOURCE_CUT_SHORT: { code: Code.UNAVAILABLE, retryable: true },
  SOURCE_TLS_FAILED: { code: Code.UNAVAILABLE, retryable: true },
  SOURCE_TIMEOUT: { code: Code.DEADLINE_EXCEEDED, retryable: true },
  SOURCE_STALLED: { code: Code.DEADLINE_EXCEEDED, retryable: true },
  // Of a status that may pass the code is UNAVAILABLE.
  SOURCE_HTTP_STATUS: { code: Code.FAILED_PRECONDITION, retryable: true },
  SOURCE_REDIRECT_REFUSED: { code: Code.FAILED_PRECONDITION, retryable: true },
  SOURCE_PROTOCOL_INVALID: { code: Code.FAILED_PRECONDITION, retryable: true },
  SOURCE_EMPTY: { code: Code.FAILED_PRECONDITION, retryable: true },
  SOURCE_NO_IMAGE: { code: Code.FAILED_PRECONDITION, retryable: true },
  SOURCE_IMAGE_GONE: { code: Code.FAILED_PRECONDITION, retryable: false },
  SOURCE_FORBIDDEN: { code: Code.PERMISSION_DENIED, retryable: false },
  SOURCE_SCHEME_UNSUPPORTED: { code: Code.INVALID_ARGUMENT, retryable: false },
  SOURCE_CHANGED: { code: Code.ABORTED, retryable: true },
  UNSUPPORTED: { code: Code.UNIMPLEMENTED, retryable: false },
  INTERNAL: { code: Code.INTERNAL, retryable: true },
} as const satisfies Record<string, { code: Code; retryable: boolean }>;

/** A reason that the service itself gives. */
export type FailureReason = keyof typeof failureReasons;
