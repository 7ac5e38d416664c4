import { connect, type Socket } from 'node:net';
import { answerCommands } from '../stage/script.ts';
import { callHead, flags, frame, frameTypes, magic, openRaw, reset } from '../wire/http2-frames.ts';

/** What the script can be asked. */
export interface FloodLoad {
  /**
   * Opens a connection of HTTP/2, and begins and gives up so many calls on it at once; and again as soon as the service
   * has closed it, for so many seconds, once at least. Resolves with the number of connections.
   */
  giveUpCalls(order: { url: string; calls: number; seconds: number }): Promise<number>;
  /** Opens connections that send half of a head, or nothing but the beginning of HTTP/2. */
  hold(order: { url: string; halfHeads: number; silent: number }): Promise<void>;
  /** Closes what is held; how many of them the service had closed. */
  release(order: null): Promise<number>;
}

const cancel = 8;
const held: Socket[] = [];

answerCommands<FloodLoad>({
  async giveUpCalls({ url, calls, seconds }) {
    const head = callHead('/darkroom.v1.ImageService/ListImages');
    const flood = Buffer.concat([
      magic,
      frame(frameTypes.settings, 0, 0),
      ...Array.from({ length: calls }, (_, i) =>
        Buffer.concat([
          frame(frameTypes.headers, flags.endHeaders, 1 + 2 * i, head),
          frame(frameTypes.data, flags.endStream, 1 + 2 * i, Buffer.alloc(5)),
          reset(1 + 2 * i, cancel),
        ]),
      ),
    ]);
    const end = performance.now() + seconds * 1000;
    let connections = 0;
    do {
      await openRaw(Number(new URL(url).port), flood).closed;
      connections += 1;
    } while (performance.now() < end);
    return connections;
  },

  async hold({ url, halfHeads, silent }) {
    const half = Buffer.from('GET /healthz HTTP/1.1\r\nhost: localhost\r\n');
    const begin = Buffer.concat([magic, frame(frameTypes.settings, 0, 0)]);
    const port = Number(new URL(url).port);
    for (let i = 0; i < halfHeads + silent; i += 1) {
      const socket = connect(port, '127.0.0.1')
        .on('error', () => {})
        .resume();
      held.push(socket);
      await new Promise((resolve) => socket.write(i < halfHeads ? half : begin, resolve));
    }
  },

  release() {
    const ended = held.filter(({ destroyed }) => destroyed).length;
    held.splice(0).forEach((socket) => socket.destroy());
    return Promise.resolve(ended);
  },
});
