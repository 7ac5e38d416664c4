import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A port behind which another one is, at some distance. */
export interface DelayedPort {
  readonly port: number;
  /** Closes it, and all connections. */
  close(): void;
}

/**
 * A long line to a port of this machine, for kernels without `tc netem`: what comes is read at once, and goes on when its time
 * is there. So nothing but HTTP/2's own windows holds a sender back: neither a bandwidth, nor losses, nor the
 * buffers of TCP.
 *
 * @param delayMs how long each byte is on its way, in either direction.
 */
export async function openDelayedPort(port: number, delayMs: number): Promise<DelayedPort> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    }
    passOn(near, far, delayMs);
    passOn(far, near, delayMs);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      sockets.forEach((socket) => socket.destroy());
    },
  };
}

function passOn(from: Socket, to: Socket, delayMs: number): void {
  from.setNoDelay();
  // What breaks breaks the other side; what ends is passed on in its turn.
  from.on('error', () => {});
  from.once('close', () => {
    if (!from.readableEnded) {
      to.destroy();
    }
  });
  if (delayMs === 0) {
    from.on('data', (bytes: Buffer) => to.write(bytes));
    from.once('end', () => to.end());
    return;
  }
  const line: { readonly due: number; readonly bytes: Buffer | undefined }[] = [];
  let isWaiting = false;
  const send = (): void => {
    isWaiting = false;
    to.cork();
    for (let next = line[0]; next && next.due <= performance.now(); next = line[0]) {
      line.shift();
      if (next.bytes === undefined) {
        to.end();
      } else {
        to.write(next.bytes);
      }
    }
    to.uncork();
    wait();
  };
  const wait = (): void => {
    const [next] = line;
    if (next && !isWaiting) {
      isWaiting = true;
      setTimeout(send, Math.max(0, next.due - performance.now()));
    }
  };
  const take = (bytes: Buffer | undefined): void => {
    line.push({ due: performance.now() + delayMs, bytes });
    wait();
  };
  from.on('data', take);
  from.once('end', () => take(undefined));
}
