import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';

/** The methods of a service, as the generated code describes them. */
type Methods = Record<string, Pick<DescMethod, 'input' | 'output' | 'methodKind'>>;
type Described = Omit<DescService, 'method'> & { readonly method: Methods };

/** What grpc-js offers for a method, with the generated types. */
type Call<M extends Methods[string]> = M['methodKind'] extends 'unary'
  ? (
      request: MessageInitShape<M['input']>,
      metadata: grpc.Metadata,
      options: grpc.CallOptions,
      callback: grpc.requestCallback<MessageShape<M['output']>>,
    ) => grpc.ClientUnaryCall
  : M['methodKind'] extends 'client_streaming'
    ? (
        callback: grpc.requestCallback<MessageShape<M['output']>>,
      ) => grpc.ClientWritableStream<MessageInitShape<M['input']>>
    : M['methodKind'] extends 'server_streaming'
      ? (
          request: MessageInitShape<M['input']>,
          options?: grpc.CallOptions,
        ) => grpc.ClientReadableStream<MessageShape<M['output']>>
      : () => grpc.ClientDuplexStream<MessageInitShape<M['input']>, MessageShape<M['output']>>;

/** A grpc-js client of a service, with the generated types. */
export type GrpcJsClient<S extends Described> = grpc.Client & {
  readonly [K in keyof S['method']]: Call<S['method'][K]>;
};

/** Connects to `address` (`host:port`), without TLS unless there are credentials for it. */
export function grpcJsClient<S extends Described>(
  service: S,
  address: string,
  options: grpc.ClientOptions = {},
  credentials: grpc.ChannelCredentials = grpc.credentials.createInsecure(),
): GrpcJsClient<S> {
  const Client = grpc.makeGenericClientConstructor(serviceDefinition(service), service.typeName);
  const client: unknown = new Client(address, credentials, options);
  return client as GrpcJsClient<S>;
}

/** What grpc-js has its own code generator make, from what protobuf-es has generated. */
function serviceDefinition(service: Described): grpc.ServiceDefinition {
  return Object.fromEntries(
    service.methods.map((method) => [method.localName, methodDefinition(method)]),
  );
}

function methodDefinition(
  method: DescMethod,
): grpc.MethodDefinition<MessageInitShape<DescMessage>, MessageInitShape<DescMessage>> {
  const { input, output, methodKind } = method;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
    requestSerialize: (value) => serialize(input, value),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: (value) => serialize(output, value),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}

function serialize(schema: DescMessage, value: MessageInitShape<DescMessage>): Buffer {
  const { buffer, byteOffset, byteLength } = toBinary(schema, create(schema, value));
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** Resolves with a unary call's answer. @throws grpc.ServiceError */
export function unary<Request, Response>(
  call: (
    request: Request,
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<Response>,
  ) => grpc.ClientUnaryCall,
  request: Request,
  options: grpc.CallOptions & { readonly metadata?: Readonly<Record<string, string>> } = {},
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(options.metadata ?? {})) {
    metadata.set(key, value);
  }
  call(request, metadata, options, (error, response) =>
    error || response === undefined
      ? reject(error ?? new Error('no answer came'))
      : resolve(response),
  );
  return promise;
}
