import type { DescMessage, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import type { DarkroomError } from './client-error.ts';
import { randomId } from './random-id.ts';

/** Calls that change something, and do no more when they are made a second time; each by a promise of the contract. */
const repeatable: ReadonlySet<string> = new Set([
  'darkroom.v1.ImageService.ResumeUpload',
  'darkroom.v1.TaskService.CancelTask',
  'darkroom.v1.TaskService.RetryTask',
  'darkroom.v1.TaskService.ReportProgress',
]);

const createImage = 'darkroom.v1.ImageService.CreateImage';

/** Calls that are so where they carry this field, or where they do not. */
const repeatableIf: Readonly<Record<string, (message: Record<string, unknown>) => boolean>> = {
  [createImage]: ({ requestId, imageId }) => Boolean(requestId) || Boolean(imageId),
  // With an etag the second one would be refused, as the first has changed it.
  'darkroom.v1.ImageService.DeleteImage': ({ etag }) => !etag,
};

/** The request with an id, where one makes the call repeatable. */
export function identified<I extends DescMessage>(
  method: DescMethodUnary<I>,
  request: MessageInitShape<I>,
): MessageInitShape<I> {
  return nameOf(method) === createImage && !isRepeatable(method, request)
    ? { ...request, requestId: randomId() }
    : request;
}

function nameOf(method: DescMethodUnary): string {
  return `${method.parent.typeName}.${method.name}`;
}

/** Whether a call may be made again though it is not known whether it was done. */
export function isRepeatable(method: DescMethodUnary, message: unknown): boolean {
  const name = nameOf(method);
  return (
    method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS ||
    repeatable.has(name) ||
    repeatableIf[name]?.(message as Record<string, unknown>) === true
  );
}

const undone: ReadonlySet<string> = new Set([
  'UNREACHABLE',
  'SERVER_DRAINING',
  'TOO_MANY_CONNECTIONS',
  'TOO_MANY_OPEN_REQUESTS',
  'IDENTITY_UNAVAILABLE',
]);

/** Whether an error says that nothing was done, so that any call may be made again. */
export function saysUndone(error: DarkroomError): boolean {
  return undone.has(error.reason);
}
