import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import type { DarkroomClient } from '../../src/client/exports.ts';
import { grpcJsTransport } from '../../src/client/grpc-js-transport.ts';
import { createDarkroomClient } from '../../src/client/node.ts';
import { answerCommands } from '../stage/script.ts';

/** How the client library connects. */
export type ClientRoad = 'connect-node' | 'grpc-js';

/** A file that is to be uploaded by the client library. */
export interface ClientOrder {
  readonly url: string;
  readonly path: string;
  readonly road: ClientRoad;
}

/** How it went. */
export interface ClientOutcome {
  readonly seconds: number;
  readonly sha256: string;
  readonly imageId: string;
}

/** What the script can be asked. */
export interface ClientLoad {
  upload(order: ClientOrder): Promise<ClientOutcome>;
}

const clients = new Map<string, DarkroomClient>();

function clientOf({ url, road }: ClientOrder): DarkroomClient {
  const key = `${road} ${url}`;
  const client =
    clients.get(key) ??
    createDarkroomClient(
      road === 'grpc-js' ? { transport: grpcJsTransport({ endpoint: url }) } : { endpoint: url },
    );
  clients.set(key, client);
  return client;
}

answerCommands<ClientLoad>({
  async upload(order) {
    const began = performance.now();
    const { image } = await clientOf(order).uploadImage(order.path, {
      image: { name: 'bench', diskFormat: Image_DiskFormat.RAW },
    });
    const seconds = (performance.now() - began) / 1000;
    return { seconds, sha256: image.sha256, imageId: image.id };
  },
});
