import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Code, ConnectError } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { Image_State } from '../gen/darkroom/v1/image_pb.ts';
import { ImageService } from '../gen/darkroom/v1/image_service_pb.ts';
import { answerCommands } from './stage/script.ts';

/** What the script can be asked. */
export interface BaselineServer {
  /** Begins to take uploads into a folder; answers the URL. */
  listen(options: { readonly folder: string }): Promise<string>;
}

const MiB = 1024 * 1024;

/**
 * What one writes in an hour: UploadImage by connect-node's own adapter, a sha256 on the event loop and a
 * file. No database, no fsync, no checks, no resume. With the service's HTTP/2 windows, so that the
 * difference is what the service does with the bytes.
 */
answerCommands<BaselineServer>({
  async listen({ folder }) {
    const handler = connectNodeAdapter({
      readMaxBytes: 8 * MiB,
      routes(router) {
        router.service(ImageService, {
          async uploadImage(frames) {
            const hash = createHash('sha256');
            let taskId = '';
            let file: Awaited<ReturnType<typeof open>> | undefined;
            let size = 0;
            for await (const { frame } of frames) {
              if (frame.case === 'header') {
                taskId = frame.value.taskId;
                file = await open(join(folder, taskId), 'w');
              } else if (frame.case === 'chunk') {
                const { data } = frame.value;
                hash.update(data);
                size += data.byteLength;
                await file?.writeFile(data);
              } else if (frame.case !== 'finish') {
                throw new ConnectError('not taken by the baseline', Code.Unimplemented);
              }
            }
            await file?.close();
            return {
              image: { state: Image_State.ACTIVE, sha256: hash.digest('hex') },
              task: { id: taskId },
              committedSize: BigInt(size),
              complete: true,
            };
          },
        });
      },
    });
    const server = createServer({ settings: { initialWindowSize: 4 * MiB } }, handler);
    server.on('session', (session) => session.setLocalWindowSize(16 * MiB));
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  },
});
