import type { ServerResponse } from 'node:http';
import type { ConnectError } from '@connectrpc/connect';
import type { Compression } from '@connectrpc/connect/protocol';
import { createEndStreamSerialization, endStreamFlag } from '@connectrpc/connect/protocol-connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import type { NodeResponse } from '../transport/node-http.ts';
import { headersOf } from '../transport/response-writer.ts';
import { envelopeOf } from './envelope.ts';

/** Ends a stream of messages, with an error or well. */
export type EndStream = (
  response: NodeResponse,
  failure: ConnectError | undefined,
  compression: Compression | null,
) => void;

/** As gRPC ends one: the status in trailers. */
export const endGrpcStream: EndStream = (nodeResponse, failure) => {
  const trailer = new Headers();
  setTrailerStatus(trailer, failure);
  // That of HTTP/2 has all that is used here, but types that do not agree.
  const response = nodeResponse as ServerResponse;
  response.addTrailers(headersOf(trailer));
  response.end();
};

const endOfConnectStream = createEndStreamSerialization(undefined);

/** As Connect ends one: in a last envelope. */
export const endConnectStream: EndStream = (nodeResponse, error, compression) => {
  const data = endOfConnectStream.serialize({
    metadata: new Headers(),
    ...(error !== undefined && { error }),
  });
  const response = nodeResponse as ServerResponse;
  void Promise.resolve(envelopeOf([data], compression, endStreamFlag)).then(
    (envelope) => response.end(envelope),
    () => response.destroy(),
  );
};
