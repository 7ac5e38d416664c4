import type { DescMethod, MessageInitShape, DescMessage } from '@bufbuild/protobuf';
import type { ContextValues } from '@connectrpc/connect';
import type { Compression } from '@connectrpc/connect/protocol';
import { TaskService } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { isClosed, type NodeResponse } from '../transport/node-http.ts';
import { requestContextOf } from '../transport/request-context.ts';
import type { DirectCallContext } from './direct-call-context.ts';
import type { DirectForm } from './direct-forms.ts';
import { settle } from './settled-directly.ts';

const watches = new Set<DescMethod>([TaskService.method.watchTask, TaskService.method.watchTasks]);

/** Whether the handler of a stream writes its answer itself (see WatchAnswer), so that connect need not begin the call. */
export function writesItsAnswer(method: DescMethod): boolean {
  return watches.has(method);
}

/** A stream that is to be answered. */
export interface DirectStream {
  readonly response: NodeResponse;
  readonly values: ContextValues;
  readonly context: DirectCallContext;
  readonly form: DirectForm;
  readonly compression: Compression | null;
}

/**
 * Begins a stream whose handler writes the answer itself. Connect's chain of generators for one that has begun lived through
 * a scavenge or two while many watches were opened, and was then part of the old generation until it was collected in full.
 *
 * @param leave has connect go on, where the handler does leave the answer to it.
 * @throws what the handler throws before its answer begins.
 */
export async function answerStream(
  { response, values, context, form, compression }: DirectStream,
  begin: () => AsyncIterable<MessageInitShape<DescMessage>>,
  leave: () => void,
): Promise<void> {
  const { responseHeader } = context;
  responseHeader.set('content-type', form.contentType);
  if (compression !== null) {
    responseHeader.set(form.encoding, compression.name);
  }
  const messages = begin()[Symbol.asyncIterator]();
  const first = await messages.next();
  const { rest } = requestContextOf(context);
  if (rest === undefined) {
    context.responseTrailer.set('grpc-status', '0');
    settle(values, {
      kind: 'begun',
      messages: goneOn(first, messages),
      header: responseHeader,
      trailer: context.responseTrailer,
    });
    leave();
  } else if (isClosed(response)) {
    rest.abandon();
  } else {
    context.release();
    rest.writeTo(response, { status: 200, header: responseHeader });
  }
}

async function* goneOn<T>(
  first: IteratorResult<T, unknown>,
  messages: AsyncIterator<T, unknown>,
): AsyncGenerator<T> {
  if (first.done !== true) {
    yield first.value;
    yield* { [Symbol.asyncIterator]: () => messages };
  }
}
