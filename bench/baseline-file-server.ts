import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { answerCommands } from './stage/script.ts';

/** What the script can be asked. */
export interface BaselineFileServer {
  /** Begins to give a file out; answers the URL. */
  listen(options: { readonly file: string }): Promise<string>;
}

/** A plain server of Node over HTTP/1.1 that streams one file. */
answerCommands<BaselineFileServer>({
  async listen({ file }) {
    const server = createServer((_, response) => {
      pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), response).catch(() =>
        response.destroy(),
      );
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  },
});
