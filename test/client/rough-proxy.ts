import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Which way bytes go: to the service, or back. */
export type Direction = 'up' | 'down';

/** What happens to one connection. Places count the bytes of one direction, times are in ms. */
export type Roughness =
  | { readonly kind: 'refuse' }
  /** Both ends are reset. */
  | { readonly kind: 'cut'; readonly direction: Direction; readonly at: number }
  /** What comes after is swallowed, and nobody is told. */
  | { readonly kind: 'swallow'; readonly direction: Direction; readonly at: number }
  /** One direction is ended in order, the other goes on. */
  | { readonly kind: 'half-close'; readonly direction: Direction; readonly at: number }
  /** A piece comes twice. */
  | { readonly kind: 'double'; readonly direction: Direction; readonly at: number }
  | { readonly kind: 'delay'; readonly delayMs: number }
  /** So many bytes at a time, with a pause after each. */
  | { readonly kind: 'throttle'; readonly bytes: number; readonly pauseMs: number };

/** A network that treats its first connections as it is told, and all others well. */
export class RoughProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #targets: readonly URL[];
  #taken = 0;
  #plan: Roughness[] = [];
  #isHeld = false;

  private constructor(target: string) {
    this.#targets = [new URL(target)];
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#take(client));
  }

  static async open(target: string): Promise<RoughProxy> {
    const proxy = new RoughProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What is to happen to the next connections, one after the other. */
  plan(plan: readonly Roughness[]): void {
    this.#plan = [...plan];
  }

  /** Sends new connections elsewhere, to one after the other. */
  leadTo(...targets: readonly string[]): void {
    this.#targets = targets.map((target) => new URL(target));
  }

  /** Whether answers come through. */
  get isOpen(): boolean {
    return !this.#isHeld;
  }

  /** Nothing of what the service says comes through, until all connections are cut. */
  holdAnswers(): void {
    this.#isHeld = true;
  }

  /** Resets all connections. */
  cutAll(): void {
    this.#isHeld = false;
    this.#sockets.forEach((socket) => socket.resetAndDestroy());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.cutAll();
    await once(this.#server, 'close');
  }

  #take(client: Socket): void {
    const roughness = this.#plan.shift();
    if (roughness?.kind === 'refuse') {
      client.resetAndDestroy();
      return;
    }
    const { hostname: host, port } = this.#targets[this.#taken % this.#targets.length]!;
    this.#taken += 1;
    const service = connect({ host, port: Number(port), allowHalfOpen: true });
    for (const socket of [client, service]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        client.destroy();
        service.destroy();
      });
    }
    const both = [client, service];
    void carry(client, service, 'up', roughness, both, () => false);
    void carry(service, client, 'down', roughness, both, () => this.#isHeld);
  }
}

/** Carries the bytes of one direction. */
async function carry(
  from: Socket,
  to: Socket,
  direction: Direction,
  roughness: Roughness | undefined,
  both: readonly Socket[],
  isHeld: () => boolean,
): Promise<void> {
  let carried = 0;
  const isHere = roughness !== undefined && 'at' in roughness && roughness.direction === direction;
  try {
    for await (const bytes of from as AsyncIterable<Buffer>) {
      if (isHeld()) {
        continue;
      }
      if (isHere && carried + bytes.length >= roughness.at) {
        const before = bytes.subarray(0, Math.max(0, roughness.at - carried));
        to.write(before);
        carried += bytes.length;
        switch (roughness.kind) {
          case 'cut':
            both.forEach((socket) => socket.resetAndDestroy());
            return;
          case 'half-close':
            to.end();
            return;
          case 'swallow':
            continue;
          case 'double':
            to.write(bytes.subarray(before.length));
            to.write(bytes.subarray(before.length));
            continue;
        }
      }
      carried += bytes.length;
      if (roughness?.kind === 'delay') {
        await pause(roughness.delayMs);
      }
      if (roughness?.kind === 'throttle') {
        for (let at = 0; at < bytes.length; at += roughness.bytes) {
          to.write(bytes.subarray(at, at + roughness.bytes));
          await pause(roughness.pauseMs);
        }
      } else if (!to.write(bytes)) {
        await Promise.race([once(to, 'drain'), once(to, 'close')]);
      }
    }
    to.end();
  } catch {
    // The other side is told by the socket's end.
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
