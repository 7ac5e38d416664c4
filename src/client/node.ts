import type { Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  Http2SessionManager,
} from '@connectrpc/connect-node';
import type { SecureClientSessionOptions } from 'node:http2';
import { withLeanUploads } from './lean-uploads.ts';
import { nodeArithmetic, openPath } from './node-platform.ts';
import { defaultRetryPolicy } from './calls/retry-policy.ts';
import { downloadToPath } from './download/download-to-path.ts';
import { streamRoad } from './upload/upload-image.ts';
import {
  clientOver,
  type ClientOptions,
  type ClientPlatform,
  type DarkroomClient,
} from './darkroom-client.ts';

export * from './exports.ts';

/** How TLS is spoken, for https. */
export interface ClientTlsOptions {
  /** Authorities as PEM, in place of Node's. */
  readonly ca?: string | Buffer;
  /** The client's own certificate as PEM, and those between it and the root. */
  readonly cert?: string | Buffer;
  /** The private key of that certificate as PEM. */
  readonly key?: string | Buffer;
  /** The name that the service's certificate must have; the endpoint's host if not set. */
  readonly serverName?: string;
}

/** What a client in Node is made with. */
export type NodeClientOptions = ClientOptions &
  (
    | {
        /** `http://host:port` or `https://host:port`. */
        readonly endpoint: string;
        /** What is spoken over HTTP/2; gRPC if not set. */
        readonly protocol?: 'grpc' | 'connect';
        readonly tls?: ClientTlsOptions;
      }
    | {
        /** A transport of Connect, as of `darkroom/client/grpc-js`. Whoever has made it closes it. */
        readonly transport: Transport;
      }
  );

const platform: ClientPlatform = {
  arithmetic: nodeArithmetic,
  road: streamRoad,
  openPath,
  downloadToPath: (calls, imageId, path, options) =>
    downloadToPath(calls, nodeArithmetic, imageId, path, options),
};

/** Node's own are 64 KiB, which holds downloads up. */
const windowBytes = 8 * 1024 * 1024;
const readMaxBytes = 64 * 1024 * 1024;

/** Makes a client. It connects with the first call, and holds no process up. */
export function createDarkroomClient(options: NodeClientOptions): DarkroomClient {
  if ('transport' in options) {
    return clientOver(options.transport, platform, options);
  }
  const { endpoint, protocol = 'grpc', tls = {} } = options;
  const { serverName, ...secrets } = tls;
  const session: SecureClientSessionOptions = {
    ...secrets,
    ...(serverName === undefined ? {} : { servername: serverName }),
    settings: { initialWindowSize: windowBytes },
  };
  const { deadAfterMs } = { ...defaultRetryPolicy, ...options.retry };
  const pings = { pingIntervalMs: (deadAfterMs * 2) / 3, pingTimeoutMs: deadAfterMs / 3 };
  const sessionManager = new Http2SessionManager(endpoint, pings, session);
  const shared = { baseUrl: endpoint, sessionManager, readMaxBytes };
  const transport =
    protocol === 'grpc'
      ? withLeanUploads(createGrpcTransport(shared), sessionManager)
      : createConnectTransport({ ...shared, httpVersion: '2', useHttpGet: true });
  return clientOver(transport, platform, options, () => sessionManager.abort());
}
