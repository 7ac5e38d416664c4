import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { answerCommands } from '../stage/script.ts';

/** What the script can be asked. */
export interface TusServer {
  /**
   * Begins to take uploads into `files`; answers the URL at which they are made.
   *
   * @param options.packages a folder in whose node_modules `@tus/server` and `@tus/file-store` are.
   */
  listen(options: { readonly packages: string; readonly files: string }): Promise<string>;
}

/** What is used of `@tus/server`, which is not among this project's packages: it brings two clients of Redis. */
interface TusPackages {
  readonly Server: new (options: { readonly path: string; readonly datastore: object }) => {
    handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  };
  readonly FileStore: new (options: { readonly directory: string }) => object;
}

const path = '/files';

/** tus as its own documentation has it: resumable, on a file store; no digest, no fsync. */
answerCommands<TusServer>({
  async listen({ packages, files }) {
    const { resolve } = createRequire(join(packages, 'package.json'));
    const load = async (name: string): Promise<Partial<TusPackages>> =>
      (await import(pathToFileURL(resolve(name)).href)) as Partial<TusPackages>;
    const { Server } = await load('@tus/server');
    const { FileStore } = await load('@tus/file-store');
    if (Server === undefined || FileStore === undefined) {
      throw new Error(`the packages in ${packages} have no Server or no FileStore`);
    }
    const tus = new Server({ path, datastore: new FileStore({ directory: files }) });
    const server = createServer((request, response) => {
      tus.handle(request, response).catch(() => response.destroy());
    });
    // Node's default would end an upload that takes longer.
    server.requestTimeout = 0;
    await new Promise<void>((done) => {
      server.listen(0, '127.0.0.1', done);
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
  },
});
