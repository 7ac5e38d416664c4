import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** When a connection breaks on which an image is put. */
export type Cut =
  /** After so many bytes of the body were sent, as they are in chunks. */
  | { readonly after: number }
  /** When all was sent and taken, in place of the answer. */
  | 'the answer';

/** A network to a service, which breaks the PUTs that are to be broken, each once. */
export class CuttingProxy {
  readonly url: string;
  /** How many PUTs came. */
  puts = 0;
  readonly #cuts: Cut[];
  readonly #target: URL;

  private constructor(url: string, target: URL, cuts: readonly Cut[]) {
    this.url = url;
    this.#target = target;
    this.#cuts = [...cuts];
  }

  /** Opens one until the test is finished. @param cuts those of the first PUTs, in order. */
  static async open(target: string, cuts: readonly Cut[]): Promise<CuttingProxy> {
    const sockets = new Set<Socket>();
    const server = createServer((client) => {
      sockets.add(client.once('close', () => sockets.delete(client)));
      proxy.#take(client);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const proxy = new CuttingProxy(`http://127.0.0.1:${port}`, new URL(target), cuts);
    onTestFinished(() => {
      server.close();
      sockets.forEach((socket) => socket.destroy());
    });
    return proxy;
  }

  #take(client: Socket): void {
    const server = connect(Number(this.#target.port), this.#target.hostname);
    let cut: Cut | undefined;
    let sent = 0;
    const breakOff = (): void => {
      client.resetAndDestroy();
      server.destroy();
    };
    client.on('data', (data) => {
      if (data.subarray(0, 4).toString('latin1') === 'PUT ') {
        this.puts += 1;
        cut = this.#cuts.shift();
        sent = -(data.indexOf('\r\n\r\n') + 4);
      }
      sent += data.length;
      if (typeof cut === 'object' && sent > cut.after) {
        server.write(data.subarray(0, Math.max(0, data.length - (sent - cut.after))), breakOff);
        cut = undefined;
        client.pause();
        return;
      }
      if (!server.write(data)) {
        client.pause();
        server.once('drain', () => client.resume());
      }
    });
    server.on('data', (data) => {
      if (cut === 'the answer') {
        breakOff();
      } else {
        client.write(data);
      }
    });
    client.on('close', () => server.destroy());
    server.on('close', () => client.destroy());
    client.on('error', () => {});
    server.on('error', () => {});
  }
}
