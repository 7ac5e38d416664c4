import { Task_Type } from '../../../gen/darkroom/v1/task_pb.ts';

const resume = 'Nothing is lost: the upload goes on where it was.';
const sourceReturns = 'The service tries again by itself. If the source stays away, retry later.';

/** What to do about a reason, where that is always the same. */
const byReason: ReadonlyMap<string, string> = new Map(
  Object.entries({
    CONNECTION_LOST: resume,
    SERVICE_LOST: resume,
    SERVER_DRAINING: resume,
    STREAM_IDLE: resume,
    STREAM_TOO_SLOW: resume,
    DATABASE_UNAVAILABLE: resume,
    STORAGE_UNAVAILABLE: resume,
    CREDENTIAL_EXPIRED: 'Sign in with another token; the upload then goes on where it was.',
    CREDENTIAL_INVALID: 'Sign in with another token; the upload then goes on where it was.',
    OFFSET_MISMATCH: 'The sender goes on from the committed bytes.',
    CHUNK_CHECKSUM_MISMATCH: 'The chunk was dropped, and is sent again.',
    REPLAY_MISMATCH: 'The file has changed. Cancel this task, and upload the file as a new image.',
    QUOTA_EXCEEDED: 'Delete what is not needed, or ask for a higher quota; then retry.',
    STORAGE_FULL: 'An operator has to make room; then retry. What came is kept.',
    SIZE_SHORT: 'The sender stopped too early. Retry: what came is kept.',
    SIZE_EXCEEDED: 'Check the size that was stated, and the file; then retry from the first byte.',
    DIGEST_MISMATCH:
      'Check the digest that was stated, and the file; then retry from the first byte.',
    STORED_BYTES_LOST: 'Stored bytes have vanished: tell an operator. Retry sends all of it again.',
    FORMAT_MISMATCH: 'Make a new image with the format that the file really has.',
    FORMAT_UNSAFE:
      'The disk refers to other files. Flatten it (qemu-img convert), and upload it again.',
    COMPRESSION_INVALID: 'Compress the image anew, and retry.',
    TASK_EXPIRED: 'Nobody sent anything for too long. Retry: what came is kept.',
    IMAGE_DELETED: 'The image was deleted while the task ran. There is nothing to do.',
    SOURCE_NAME_UNRESOLVED: 'Check the name in the address.',
    SOURCE_UNREACHABLE: sourceReturns,
    SOURCE_CONNECTION_LOST: sourceReturns,
    SOURCE_TIMEOUT: sourceReturns,
    SOURCE_STALLED: sourceReturns,
    SOURCE_CUT_SHORT: sourceReturns,
    SOURCE_HTTP_STATUS:
      'Open the address in a browser: does it give the image, and without a login?',
    SOURCE_EMPTY: 'The address gives an empty file. Check it.',
    SOURCE_NO_IMAGE: 'The address gives a web page, not an image. Use the link of the file itself.',
    SOURCE_TLS_FAILED: 'The source’s certificate is not one that the service trusts.',
    SOURCE_REDIRECT_REFUSED: 'Use the address to which the source leads.',
    SOURCE_FORBIDDEN: 'This service may not reach that address. An operator can allow it.',
    SOURCE_CHANGED: 'The source has other bytes now. Retry begins anew.',
    SOURCE_IMAGE_GONE: 'The image to copy was deleted.',
  }),
);

/** What a fault means for who reads it. */
export interface AdviceFor {
  readonly reason: string;
  readonly fatal: boolean;
  readonly retryable: boolean;
}

/** What to do about a fault now, in a sentence or two. */
export function adviceFor(fault: AdviceFor, type: Task_Type): string {
  const known = byReason.get(fault.reason);
  if (known !== undefined) {
    return known;
  }
  if (!fault.fatal) {
    return type === Task_Type.IMPORT ? 'The service goes on by itself.' : resume;
  }
  return fault.retryable ? 'Retry: the same may succeed.' : 'Mend the cause first; then retry.';
}
