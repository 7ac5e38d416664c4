import type { Message } from '@bufbuild/protobuf';
import type { createMethodSerializationLookup } from '@connectrpc/connect/protocol';

/** How the messages of a method are read and written. */
export type MessageSerialization = ReturnType<typeof createMethodSerializationLookup>;

/** What has been received of a call. */
export interface Received {
  /** Undefined as soon as it is known that there is not just one, small and sound. */
  readonly message: Message | undefined;
  /** The request's body from its beginning. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Whether the body is gone, since it was read elsewhere. */
  readonly isBodyGone?: boolean;
  /** What is wrong with the message, where it is. */
  readonly failure?: unknown;
}

/** A body from its beginning, of which parts have been read. */
export async function* replayed(
  parts: readonly Uint8Array[],
  rest?: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* parts;
  if (rest !== undefined) {
    yield* { [Symbol.asyncIterator]: () => rest };
  }
}
