import type { Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { clientOver, type ClientOptions, type DarkroomClient } from './darkroom-client.ts';

export * from './exports.ts';

/** What a client is made with where there is nothing but fetch: in pages, workers, and at the edge. */
export type BrowserClientOptions = ClientOptions &
  (
    | {
        /** The service's origin, such as `location.origin`. */
        readonly endpoint: string;
      }
    | {
        /** A transport of Connect. Whoever has made it closes it. */
        readonly transport: Transport;
      }
  );

/** Makes a client over fetch. */
export function createDarkroomClient(options: BrowserClientOptions): DarkroomClient {
  const transport =
    'transport' in options
      ? options.transport
      : createConnectTransport({
          baseUrl: options.endpoint,
          useBinaryFormat: true,
          useHttpGet: true,
        });
  return clientOver(transport, options);
}
