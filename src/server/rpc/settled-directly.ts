import {
  create,
  isMessage,
  type DescMessage,
  type Message,
  type MessageInitShape,
} from '@bufbuild/protobuf';
import { createContextKey, type ContextValues, type Interceptor } from '@connectrpc/connect';

/** What has come of a call before connect got it: it has failed, or its handler has begun a stream. */
export type Settled =
  | {
      readonly kind: 'failed';
      readonly error: unknown;
      /** Whether there is nothing any more that connect could read. */
      readonly isBodyGone: boolean;
    }
  | {
      readonly kind: 'begun';
      readonly messages: AsyncIterable<MessageInitShape<DescMessage>>;
      readonly header: Headers;
      readonly trailer: Headers;
    };

const settledKey = createContextKey<Settled | undefined>(undefined, {
  description: 'what came of a direct call',
});

/** Says what has come of a call that connect gets now. */
export function settle(values: ContextValues, settled: Settled): void {
  values.set(settledKey, settled);
}

/** Throws what a call has failed with whose body is gone, before connect reads it. */
export function throwIfBodyGone(values: ContextValues): void {
  const settled = values.get(settledKey);
  if (settled?.kind === 'failed' && settled.isBodyGone) {
    throw settled.error;
  }
}

/**
 * Throws what a handler has thrown in a direct call, and goes on with a stream that it has begun, in place of calling it
 * again. To be the innermost interceptor.
 */
export const settledDirectly: Interceptor = (next) => (request) => {
  const settled = request.contextValues.get(settledKey);
  if (settled === undefined) {
    return next(request);
  }
  if (settled.kind === 'failed') {
    throw settled.error;
  }
  if (!request.stream) {
    throw new Error('a unary call has begun no stream');
  }
  const { service, method } = request;
  const { header, trailer } = settled;
  const message = normalized(method.output, settled.messages);
  return Promise.resolve({ stream: true, service, method, header, trailer, message });
};

async function* normalized(
  schema: DescMessage,
  messages: AsyncIterable<MessageInitShape<DescMessage>>,
): AsyncGenerator<Message> {
  for await (const message of messages) {
    yield isMessage(message) ? message : create(schema, message);
  }
}
