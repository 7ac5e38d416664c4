import { fromBinary, type DescMessage, type Message } from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  createContextKey,
  type ContextValues,
  type Interceptor,
} from '@connectrpc/connect';
import type { RequestBody } from '../transport/request-body.ts';
import type { MessageLimitOf } from '../errors/protocol-failure.ts';
import { EnvelopeReader, type ReceivedEnvelope } from './envelope-reader.ts';
import { payloadLead } from './payload-lead.ts';

const bodyKey = createContextKey<RequestBody | undefined>(undefined, {
  description: 'request body',
});

/** Context values with which `directMessages` finds the body of a call. */
export function withBody(values: ContextValues, body: RequestBody): ContextValues {
  return values.set(bodyKey, body);
}

/** Flags of an envelope; the second is known to Connect alone. */
const compressedFlag = 0b01;
const endFlag = 0b10;

/** A content type whose messages can be read directly, and the headers beside it. */
interface DirectType {
  readonly contentType: RegExp;
  readonly encoding: string;
  readonly timeout: { readonly header: string; readonly sound: RegExp };
  /** Flags of what is no message. */
  readonly skippedFlags: number;
}

/** What can be read directly, by the content type; anything else is left to connect. */
const directTypes: readonly DirectType[] = [
  {
    contentType: /^application\/grpc(?:\+proto)?$/i,
    encoding: 'grpc-encoding',
    timeout: { header: 'grpc-timeout', sound: /^\d{1,8}[HMSmun]$/ },
    skippedFlags: 0,
  },
  {
    contentType: /^application\/connect\+proto$/i,
    encoding: 'connect-content-encoding',
    timeout: { header: 'connect-timeout-ms', sound: /^\d{1,10}$/ },
    skippedFlags: endFlag,
  },
];

/**
 * Reads the messages of a client's stream from its body, where that is protobuf that is not compressed, in place of
 * connect's pipeline: there each message passes six async generators, and each of its bytes is copied twice into fresh
 * memory. Connect has read nothing by then, since it reads when it is asked for messages. Errors, deadlines and the
 * answer stay connect's, and what is wrong with a message is told in its words.
 *
 * @param maxMessageBytesOf the limits that connect was given.
 */
export function directMessages(maxMessageBytesOf: MessageLimitOf): Interceptor {
  return (next) => (request) => {
    const body = request.contextValues.get(bodyKey);
    const { method, header } = request;
    if (!request.stream || method.methodKind !== 'client_streaming' || body === undefined) {
      return next(request);
    }
    const type = directTypes.find((one) => one.contentType.test(header.get('content-type') ?? ''));
    if (type === undefined || !isPlain(header, type)) {
      return next(request);
    }
    const message = messagesOf(method.input, body, maxMessageBytesOf(method), type.skippedFlags);
    return next({ ...request, message });
  };
}

/** Whether messages are not compressed, and connect finds nothing wrong with the deadline. */
function isPlain(header: Headers, { encoding, timeout }: DirectType): boolean {
  const given = header.get(timeout.header);
  return (
    (header.get(encoding) ?? 'identity') === 'identity' &&
    (given === null || timeout.sound.test(given))
  );
}

function messagesOf(
  schema: DescMessage,
  body: RequestBody,
  maxBytes: number,
  skippedFlags: number,
): AsyncIterable<Message> {
  return {
    [Symbol.asyncIterator]() {
      const reader = new EnvelopeReader(body, maxBytes, (begin, length) =>
        payloadLead(schema, begin, length),
      );
      return {
        async next() {
          for (;;) {
            const envelope = await reader.next();
            if (envelope === undefined) {
              return { done: true, value: undefined };
            }
            assertNotCompressed(envelope);
            if ((envelope.flags & skippedFlags) === 0) {
              return { done: false, value: decoded(schema, envelope.data) };
            }
          }
        },
        return: () => body.return().then(() => ({ done: true, value: undefined })),
      };
    },
  };
}

function assertNotCompressed({ flags }: ReceivedEnvelope): void {
  if ((flags & compressedFlag) !== 0) {
    throw new ConnectError(
      'received compressed envelope, but do not know how to decompress',
      Code.Internal,
    );
  }
}

/** Bytes of a message are not copied out of it. */
function decoded(schema: DescMessage, data: Uint8Array): Message {
  try {
    return fromBinary(schema, data);
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new ConnectError(`parse binary: ${what}`, Code.Internal);
  }
}
