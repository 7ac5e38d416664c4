import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type StreamResponse,
  type Transport,
  type UnaryResponse,
} from '@connectrpc/connect';
import * as grpc from '@grpc/grpc-js';
import { StatusSchema } from '../../gen/google/rpc/status_pb.ts';
import type { HeaderFields } from './calls/credentials.ts';

/** Where and how grpc-js connects. */
export interface GrpcJsTransportOptions {
  /** `http://host:port` or `https://host:port`. */
  readonly endpoint: string;
  /** For https; made from Node's authorities if not set. */
  readonly credentials?: grpc.ChannelCredentials;
  /** A connection that is not made within so many ms is begun anew; 10,000 if not set. */
  readonly connectTimeoutMs?: number;
  /** Go before what is set here. */
  readonly channelOptions?: grpc.ChannelOptions;
}

/** A transport that is closed by whoever has made it. */
export interface ClosableTransport extends Transport {
  close(): void;
}

const defaultConnectTimeoutMs = 10_000;

const channelDefaults: grpc.ChannelOptions = {
  // The client tries again itself, and knows what may be.
  'grpc.enable_retries': 0,
  // A peer that has gone without a word is noticed after 30 s.
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  // One that is replaced takes its connections with it.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
  'grpc.max_send_message_length': -1,
  'grpc-node.flow_control_window': 8 * 1024 * 1024,
};

/** A transport of Connect over grpc-js, for programs that have that already. */
export function grpcJsTransport(options: GrpcJsTransportOptions): ClosableTransport {
  const { host, protocol } = new URL(options.endpoint);
  const port = protocol === 'https:' ? 443 : 80;
  const address = /:\d+$/.test(host) ? host : `${host}:${port}`;
  const credentials =
    options.credentials ??
    (protocol === 'https:' ? grpc.credentials.createSsl() : grpc.credentials.createInsecure());
  const clients = new ReplacedClient(
    () => new grpc.Client(address, credentials, { ...channelDefaults, ...options.channelOptions }),
    options.connectTimeoutMs ?? defaultConnectTimeoutMs,
  );
  return {
    unary: (method, signal, timeoutMs, header, input) =>
      unaryCall(clients.current(), method, signal, timeoutMs, header, input),
    stream: (method, signal, timeoutMs, header, input) =>
      streamingCall(clients.current(), method, signal, timeoutMs, header, input),
    close: () => clients.close(),
  };
}

/**
 * A client that is made anew when its connection is not made in time: grpc-js itself waits without end for an HTTP/2 peer
 * that is silent after the connection of TCP.
 */
class ReplacedClient {
  readonly #make: () => grpc.Client;
  readonly #timeoutMs: number;
  #client: grpc.Client;
  #connectingSinceMs: number | undefined;

  constructor(make: () => grpc.Client, timeoutMs: number) {
    this.#make = make;
    this.#timeoutMs = timeoutMs;
    this.#client = make();
  }

  current(): grpc.Client {
    const state = this.#client.getChannel().getConnectivityState(true);
    if (state !== grpc.connectivityState.CONNECTING) {
      this.#connectingSinceMs = undefined;
      return this.#client;
    }
    const nowMs = performance.now();
    this.#connectingSinceMs ??= nowMs;
    if (nowMs - this.#connectingSinceMs > this.#timeoutMs) {
      this.#client.close();
      this.#client = this.#make();
      this.#connectingSinceMs = undefined;
    }
    return this.#client;
  }

  close(): void {
    this.#client.close();
  }
}

function unaryCall<I extends DescMessage, O extends DescMessage>(
  client: grpc.Client,
  method: DescMethodUnary<I, O>,
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
  header: HeaderFields,
  input: MessageInitShape<I>,
): Promise<UnaryResponse<I, O>> {
  return new Promise((resolve, reject) => {
    let head = new Headers();
    let message: MessageShape<O> | undefined;
    let failure: grpc.ServiceError | null = null;
    const call = client.makeUnaryRequest<MessageInitShape<I>, MessageShape<O>>(
      pathOf(method),
      (value) => serialized(method.input, value),
      (bytes) => fromBinary(method.output, bytes),
      input,
      metadataOf(header),
      callOptions(timeoutMs),
      (error, answer) => {
        failure = error;
        message = answer;
      },
    );
    const cancel = cancelOn(signal, call);
    call.on('metadata', (metadata) => {
      head = headersOf(metadata);
    });
    // After the answer or the error.
    call.on('status', ({ metadata }) => {
      setImmediate(() => {
        cancel.release();
        if (message === undefined) {
          reject(connectError(failure));
        } else {
          const trailer = headersOf(metadata);
          resolve({
            stream: false,
            service: method.parent,
            method,
            header: head,
            message,
            trailer,
          });
        }
      });
    });
  });
}

async function streamingCall<I extends DescMessage, O extends DescMessage>(
  client: grpc.Client,
  method: DescMethodStreaming<I, O>,
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
  header: HeaderFields,
  input: AsyncIterable<MessageInitShape<I>>,
): Promise<StreamResponse<I, O>> {
  // On the wire every kind of call is a bidirectional one.
  const call = client.makeBidiStreamRequest<MessageInitShape<I>, MessageShape<O>>(
    pathOf(method),
    (value) => serialized(method.input, value),
    (bytes) => fromBinary(method.output, bytes),
    metadataOf(header),
    callOptions(timeoutMs),
  );
  const cancel = cancelOn(signal, call);
  const trailer = new Headers();
  call.on('status', ({ metadata }) => {
    headersOf(metadata).forEach((value, name) => trailer.append(name, value));
  });
  const sending = send(call, input);
  const answered = new Promise<Headers>((resolve, reject) => {
    call.once('metadata', (metadata) => resolve(headersOf(metadata)));
    call.once('error', reject);
  });
  // Whoever reads the messages learns of errors that come later.
  call.on('error', () => cancel.release());
  try {
    const head = await answered;
    const message = received(call, sending, cancel);
    return { stream: true, service: method.parent, method, header: head, message, trailer };
  } catch (error) {
    throw await sourceError(sending, error);
  }
}

async function* received<Request, T>(
  call: grpc.ClientDuplexStream<Request, T>,
  sending: Promise<SendingEnd>,
  cancel: Cancel,
): AsyncIterable<T> {
  try {
    yield* call as AsyncIterable<T>;
  } catch (error) {
    throw await sourceError(sending, error);
  } finally {
    cancel.release();
    call.cancel();
  }
}

/** How the sending of a stream's messages ended: because there were no more, the call was over, or their source failed. */
type SendingEnd = { readonly sourceFailure?: unknown };

/** What broke a call: the source of its messages, if that was it. */
async function sourceError(sending: Promise<SendingEnd>, error: unknown): Promise<unknown> {
  const end = await sending;
  return 'sourceFailure' in end ? end.sourceFailure : connectError(error);
}

/** Sends messages as the call takes them. Never rejects. */
async function send<I extends DescMessage>(
  call: grpc.ClientDuplexStream<MessageInitShape<I>, unknown>,
  input: AsyncIterable<MessageInitShape<I>>,
): Promise<SendingEnd> {
  const messages = input[Symbol.asyncIterator]();
  let isOver = false;
  // Of what is waited for just now: one for each wait, as a promise that lives as long as the call would keep them all.
  let wake = (): void => undefined;
  const end = (): void => {
    isOver = true;
    wake();
  };
  call.once('error', end);
  call.once('status', end);
  call.on('drain', () => wake());
  try {
    for (;;) {
      const next = await new Promise<IteratorResult<MessageInitShape<I>> | undefined>(
        (resolve, reject) => {
          wake = () => (isOver ? resolve(undefined) : undefined);
          wake();
          messages.next().then(resolve, reject);
        },
      );
      if (next === undefined || isOver) {
        void messages.return?.();
        return {};
      }
      if (next.done === true) {
        call.end();
        return {};
      }
      if (!call.write(next.value)) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (isOver) {
            resolve();
          }
        });
      }
    }
  } catch (sourceFailure) {
    call.cancel();
    return { sourceFailure };
  }
}

interface Cancel {
  release(): void;
}

function cancelOn(signal: AbortSignal | undefined, call: { cancel(): void }): Cancel {
  const cancel = (): void => call.cancel();
  signal?.addEventListener('abort', cancel);
  if (signal?.aborted === true) {
    cancel();
  }
  return { release: () => signal?.removeEventListener('abort', cancel) };
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function serialized<I extends DescMessage>(schema: I, value: MessageInitShape<I>): Buffer {
  const { buffer, byteOffset, byteLength } = toBinary(schema, create(schema, value));
  return Buffer.from(buffer, byteOffset, byteLength);
}

function callOptions(timeoutMs: number | undefined): grpc.CallOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

function metadataOf(header: HeaderFields): grpc.Metadata {
  const metadata = new grpc.Metadata();
  new Headers(header).forEach((value, name) => metadata.set(name, value));
  return metadata;
}

function headersOf(metadata: grpc.Metadata): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(metadata.getMap())) {
    headers.set(name, typeof value === 'string' ? value : value.toString('base64'));
  }
  return headers;
}

/** Connect's codes are gRPC's. */
const connectCodes: ReadonlyMap<number, Code> = new Map(
  Object.values(Code)
    .filter((value) => typeof value !== 'string')
    .map((value) => [value, value]),
);

const statusDetails = 'grpc-status-details-bin';

/** What grpc-js says of a failed call, as Connect says it. */
function connectError(error: unknown): ConnectError {
  const { code, details, metadata } = (error ?? {}) as Partial<grpc.ServiceError>;
  if (code === undefined || metadata === undefined) {
    return ConnectError.from(error ?? 'The call ended without an answer.', Code.Unavailable);
  }
  const [packed] = metadata.get(statusDetails);
  const status = packed instanceof Buffer ? fromBinary(StatusSchema, packed) : undefined;
  // grpc-js undoes only some of the escapes in the message.
  const message = status?.message ?? details ?? '';
  const connectCode = connectCodes.get(code) ?? Code.Unknown;
  const failure = new ConnectError(message, connectCode, headersOf(metadata), undefined, error);
  failure.details =
    status?.details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf('/') + 1),
      value,
    })) ?? [];
  return failure;
}
