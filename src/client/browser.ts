import type { Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { DarkroomError } from './calls/client-error.ts';
import { portableArithmetic } from './portable-arithmetic.ts';
import { chunkRoad } from './upload/upload-image.ts';
import {
  clientOver,
  type ClientOptions,
  type ClientPlatform,
  type DarkroomClient,
} from './darkroom-client.ts';

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

const platform: ClientPlatform = {
  arithmetic: portableArithmetic,
  // Requests of fetch cannot be streamed everywhere.
  road: chunkRoad,
  openPath: () =>
    Promise.reject(new DarkroomError('OPTION_INVALID', 'There are no paths here: give a Blob.')),
  downloadToPath: () =>
    Promise.reject(new DarkroomError('OPTION_INVALID', 'There are no paths here: give a stream.')),
};

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
  return clientOver(transport, platform, options);
}
