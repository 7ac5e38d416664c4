import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/**
 * What becomes of a connection over which something was sent: it goes on, breaks before the server gets it,
 * breaks in place of the answer, or is silent from now on, before or in place of the answer.
 */
export type Fate = 'pass' | 'cut' | 'cut the answer' | 'stall' | 'stall the answer';

interface Line {
  readonly client: Socket;
  readonly server: Socket;
}

/** A network between a client and a real PostgreSQL, which fails when it is told to. */
export class DatabaseProxy {
  /** The database's URL by way of this network. */
  readonly url: string;
  /** Decides on what clients send. Statements can be found in it as text. */
  decide: (sent: string) => Fate = () => 'pass';
  /** Whether new connections are taken and never answered. */
  isSilent = false;
  readonly #port: number;
  readonly #target: string | { host: string; port: number };
  readonly #lines = new Set<Line>();
  #server: Server;

  private constructor(server: Server, port: number, target: URL) {
    this.#server = server;
    this.#port = port;
    const host = decodeURIComponent(target.hostname);
    this.#target = host.startsWith('/')
      ? `${host}/.s.PGSQL.${target.port || 5432}`
      : { host, port: Number(target.port) };
    const url = new URL(target);
    url.host = `127.0.0.1:${port}`;
    this.url = url.href;
  }

  /** Opens one before the database of `url`; it closes when the running test, or its `defer`, says so. */
  static async open(
    url: string,
    defer: (cleanUp: () => Promise<void>) => void = onTestFinished,
  ): Promise<DatabaseProxy> {
    const server = createServer();
    const port = await listen(server, 0);
    const proxy = new DatabaseProxy(server, port, new URL(url));
    proxy.#take(server);
    defer(() => proxy.shut());
    return proxy;
  }

  /** How many connections pass. */
  get size(): number {
    return this.#lines.size;
  }

  /** Cuts all connections, and has new ones refused. */
  async shut(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await (this.#server.listening ? closed : undefined);
  }

  /** Takes connections again. */
  async reopen(): Promise<void> {
    this.#server = createServer();
    this.#take(this.#server);
    await listen(this.#server, this.#port);
  }

  /** Cuts all connections. */
  cut(): void {
    for (const { client, server } of this.#lines) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  /** Nothing comes through any connection any more, and none is closed. */
  stall(): void {
    for (const line of this.#lines) {
      stall(line);
    }
  }

  #take(listener: Server): void {
    // Its clients may be cut while they are still in the backlog.
    listener.on('connection', (client) => {
      if (this.isSilent) {
        client.on('error', () => {});
        client.resume();
        this.#keep({ client, server: client });
        return;
      }
      const server =
        typeof this.#target === 'string' ? connect(this.#target) : connect(this.#target);
      const line = { client, server };
      this.#keep(line);
      client.on('data', (data) => this.#pass(line, data));
      server.on('data', (data) => client.write(data));
      client.on('close', () => server.destroy());
      server.on('close', () => client.destroy());
      client.on('error', () => {});
      server.on('error', () => {});
    });
  }

  #keep(line: Line): void {
    this.#lines.add(line);
    line.client.once('close', () => this.#lines.delete(line));
  }

  #pass(line: Line, data: Buffer): void {
    const { client, server } = line;
    switch (this.decide(data.toString('latin1'))) {
      case 'pass':
        server.write(data);
        return;
      case 'cut':
        client.resetAndDestroy();
        return;
      case 'stall':
        stall(line);
        return;
      case 'cut the answer':
        server.removeAllListeners('data').once('data', () => client.resetAndDestroy());
        server.write(data);
        return;
      case 'stall the answer':
        stall(line);
        server.write(data);
    }
  }
}

/** Both ends stay open, and what comes is thrown away. */
function stall({ client, server }: Line): void {
  client.removeAllListeners('data').on('data', () => {});
  server.removeAllListeners('data').on('data', () => {});
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address ? address.port : port;
}
