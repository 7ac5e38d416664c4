import * as net from 'node:net';

/** Where to listen. */
export interface PortWish {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
}

/** Where is listened. */
export interface PortAddress {
  readonly address: string;
  readonly port: number;
}

/** Where the connections of clients come from. */
export interface ConnectionSource {
  /** Gives all that come to `take` from now on. @throws ListenError */
  open(take: (socket: net.Socket) => void): Promise<PortAddress>;
  /** Gives no more. Resolves when the port is closed. */
  close(): Promise<void>;
}

/** Thrown where the port cannot be opened; the message says which, why and what to do. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/**
 * HTTP/1.1 clients may end their side after the request and still wait for the answer. The keepalive probes, after
 * 30 s, notice a dead peer of HTTP/1.1.
 */
const socketOptions = {
  allowHalfOpen: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
} as const;

/** Gives a connection that came from another process the options of those that come from a port. */
export function asFromPort(socket: net.Socket): net.Socket {
  socket.allowHalfOpen = socketOptions.allowHalfOpen;
  socket.setNoDelay(socketOptions.noDelay);
  socket.setKeepAlive(socketOptions.keepAlive, socketOptions.keepAliveInitialDelay);
  return socket;
}

/** A port of this process. */
export class OpenPort implements ConnectionSource {
  readonly #wish: PortWish;
  readonly #tcp: net.Server;

  /** @param pauseOnConnect whether connections are for another process, and nothing is to be read from them here. */
  constructor(wish: PortWish, { pauseOnConnect = false } = {}) {
    this.#wish = wish;
    this.#tcp = net.createServer({ ...socketOptions, pauseOnConnect });
  }

  async open(take: (socket: net.Socket) => void): Promise<PortAddress> {
    const { host, port } = this.#wish;
    this.#tcp.on('connection', take);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#tcp.once('error', reject);
    this.#tcp.listen({ host, port }, resolve);
    try {
      await promise;
    } catch (cause) {
      throw new ListenError(whyNot(host, port, cause), { cause });
    }
    this.#tcp.off('error', reject);
    return this.#tcp.address() as net.AddressInfo;
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#tcp.close(() => resolve());
    });
  }
}

/** As a URL has it. */
export function urlOf({ address, port }: PortAddress, scheme: 'http' | 'https'): string {
  return `${scheme}://${address.includes(':') ? `[${address}]` : address}:${port}`;
}

function whyNot(host: string, port: number, cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const where = `cannot listen on ${host} port ${port}`;
  switch (code) {
    case 'EADDRINUSE':
      return `${where}: another process has the port; stop it or set DARKROOM_PORT to another one`;
    case 'EACCES':
      return `${where}: it is not allowed; set DARKROOM_PORT to 1024 or more`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${where}: it is not an address of this machine; set DARKROOM_HOST to one`;
    default:
      return `${where}: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
}
