import { connect, type Socket } from 'node:net';
import { createClient, type CallOptions, type Client } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { ImageService } from '../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../gen/darkroom/v1/task_service_pb.ts';

/** No call of a living service may take longer, in ms: its patience with a lost database is 10 s. */
const callTimeoutMs = 40_000;
/** How long a call may live on after its connection has ended, in ms. */
const mourningMs = 200;

/** One HTTP/2 connection of a client, which can be cut like a cable. */
export class Connection {
  readonly url: string;
  readonly images: Client<typeof ImageService>;
  readonly tasks: Client<typeof TaskService>;
  readonly #sockets = new Set<Socket>();
  readonly #lost = new AbortController();

  constructor(url: string) {
    this.url = url;
    const sessionManager = new Http2SessionManager(
      url,
      {},
      { createConnection: () => this.#dial() },
    );
    const transport = createGrpcTransport({ baseUrl: url, sessionManager });
    this.images = createClient(ImageService, transport);
    this.tasks = createClient(TaskService, transport);
  }

  /** Cuts the connection, and with it all its streams. */
  cut(): void {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
    this.#lost.abort(new Error('the connection was cut'));
  }

  /** Options of a call that ends when the signal fires, with the connection, or when it takes too long. */
  bounded(signal?: AbortSignal): CallOptions {
    const signals = [this.#lost.signal, AbortSignal.timeout(callTimeoutMs)];
    return { signal: AbortSignal.any(signal ? [signal, ...signals] : signals) };
  }

  /** Options of a call that may take as long as it likes. */
  unbounded(signal: AbortSignal): CallOptions {
    return { signal: AbortSignal.any([signal, this.#lost.signal]) };
  }

  #dial(): Socket {
    const { hostname, port } = new URL(this.url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      // Node ends the streams of a connection that was reset after a GOAWAY without any error, and connect-node
      // then waits for their answers for ever.
      setTimeout(() => {
        if (this.#sockets.size === 0) {
          this.#lost.abort(new Error('the connection was lost'));
        }
      }, mourningMs).unref();
    });
    return socket;
  }
}
