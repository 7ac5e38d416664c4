import { createConnectTransport as createWebTransport } from '@connectrpc/connect-web';
import { onTestFinished } from 'vitest';
import { createDarkroomClient as createInBrowser } from '../../src/client/browser.ts';
import type { ClientOptions, DarkroomClient } from '../../src/client/darkroom-client.ts';
import { grpcJsTransport } from '../../src/client/grpc-js-transport.ts';
import { createDarkroomClient } from '../../src/client/node.ts';

/** Makes a client of a service at a URL. */
type MakeClient = (endpoint: string, options?: ClientOptions) => DarkroomClient;

/** Every road that a client can take, by its name; each client is closed when the test is finished. */
export const roads: Readonly<Record<string, MakeClient>> = {
  'connect-node, gRPC': (endpoint, options = {}) =>
    closed(createDarkroomClient({ ...options, endpoint })),
  'connect-node, Connect': (endpoint, options = {}) =>
    closed(createDarkroomClient({ ...options, endpoint, protocol: 'connect' })),
  'grpc-js': (endpoint, options = {}) => {
    const transport = grpcJsTransport({ endpoint });
    onTestFinished(() => transport.close());
    return closed(createDarkroomClient({ ...options, transport }));
  },
  'fetch, Connect': (endpoint, options = {}) => closed(createInBrowser({ ...options, endpoint })),
  'fetch, a transport of the caller': (baseUrl, options = {}) =>
    closed(createInBrowser({ ...options, transport: createWebTransport({ baseUrl }) })),
};

/** Tries again at once, and not for long. */
export const hasty = { firstDelayMs: 5, longestDelayMs: 50, giveUpAfterMs: 20_000 };

function closed(client: DarkroomClient): DarkroomClient {
  onTestFinished(() => client.close());
  return client;
}
