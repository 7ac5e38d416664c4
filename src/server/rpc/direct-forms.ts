import type { ServerResponse } from 'node:http';
import type { Compression } from '@connectrpc/connect/protocol';
import { parseTimeout as parseConnectTimeout } from '@connectrpc/connect/protocol-connect';
import { parseTimeout as parseGrpcTimeout } from '@connectrpc/connect/protocol-grpc';
import { bytesWentOut } from '../../runtime/young-garbage.ts';
import { compressMinBytes } from './compression.ts';
import { envelopeOf } from './envelope.ts';

/** What is answered, where all went well. */
export interface GoodAnswer {
  /** The message. */
  readonly data: Uint8Array<ArrayBuffer>;
  readonly headers: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
  /** What the client accepts; null for nothing. */
  readonly compression: Compression | null;
}

/** A way in which a unary call is sent, and answered. */
export interface DirectForm {
  readonly protocolName: 'connect' | 'grpc';
  readonly isBinary: boolean;
  /** Of the answer. */
  readonly contentType: string;
  /** Headers that say how the request is compressed, how the answer may be, and when the client gives up. */
  readonly encoding: string;
  readonly acceptEncoding: string;
  readonly timeout: string;
  readonly parseTimeout: typeof parseGrpcTimeout;
  /** Whether the message is in an envelope, whose head tells what comes before it does. */
  readonly isEnclosed: boolean;
  readonly write: (response: ServerResponse, answer: GoodAnswer) => void | Promise<void>;
}

function connectForm(isBinary: boolean, contentType: string): DirectForm {
  return {
    protocolName: 'connect',
    isBinary,
    contentType,
    encoding: 'content-encoding',
    acceptEncoding: 'accept-encoding',
    timeout: 'connect-timeout-ms',
    parseTimeout: parseConnectTimeout,
    isEnclosed: false,
    async write(response, { data, headers, trailers, compression }) {
      let body = data;
      const encoded: Record<string, string> = {};
      if (compression !== null && data.byteLength >= compressMinBytes) {
        body = await compression.compress(data);
        encoded['content-encoding'] = compression.name;
      }
      bytesWentOut(body.byteLength);
      response.writeHead(200, {
        'content-type': contentType,
        ...headers,
        ...encoded,
        ...Object.fromEntries(
          Object.entries(trailers).map(([name, value]) => [`trailer-${name}`, value]),
        ),
        'content-length': body.byteLength,
      });
      response.end(body);
    },
  };
}

const grpcForm: DirectForm = {
  protocolName: 'grpc',
  isBinary: true,
  contentType: 'application/grpc+proto',
  encoding: 'grpc-encoding',
  acceptEncoding: 'grpc-accept-encoding',
  timeout: 'grpc-timeout',
  parseTimeout: parseGrpcTimeout,
  isEnclosed: true,
  async write(response, { data, headers, trailers, compression }) {
    const enclosed = envelopeOf([data], compression);
    const envelope = enclosed instanceof Promise ? await enclosed : enclosed;
    bytesWentOut(envelope.byteLength);
    response.writeHead(200, {
      'content-type': grpcForm.contentType,
      ...headers,
      ...(compression !== null && { 'grpc-encoding': compression.name }),
    });
    response.write(envelope);
    response.addTrailers({ 'grpc-status': '0', ...trailers });
    response.end();
  },
};

/** By a request's content type, as clients write it. */
export const directForms: ReadonlyMap<string | undefined, DirectForm> = new Map<string, DirectForm>(
  [
    ['application/json', connectForm(false, 'application/json')],
    ['application/proto', connectForm(true, 'application/proto')],
    ['application/grpc', grpcForm],
    ['application/grpc+proto', grpcForm],
  ],
);
