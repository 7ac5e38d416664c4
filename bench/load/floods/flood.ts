import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { openRaw, type RawConnection } from '../../wire/http2-frames.ts';

/** What a flood is directed at. */
export interface FloodTarget {
  readonly port: number;
  /** An image that the service has, and the task of its upload. */
  readonly imageId: string;
  readonly taskId: string;
}

/** Goes on until it is over; answers how often it did what it does. */
export type Flood = (target: FloodTarget, isOver: () => boolean) => Promise<number>;

/** Where floods come from: another address than that of those who are measured. */
export const floodAddress = '127.0.0.2';

/** A connection that the service does not close is given up after so long, in ms. */
const patienceMs = 500;

/** What is held open until it is released. */
const held = new Set<Socket>();

/** Keeps a connection open beyond the flood's end. */
export function hold(socket: Socket): void {
  held.add(socket);
  socket.once('close', () => held.delete(socket));
}

/** Closes all that is held. */
export function release(): void {
  held.forEach((socket) => socket.destroy());
}

/** A connection that says nothing by itself, and whose answers are thrown away. */
export function open(port: number, from = floodAddress): Socket {
  return connect({ port, host: '127.0.0.1', localAddress: from })
    .on('error', () => {})
    .resume();
}

/** A flood that sends the same on connection after connection, as soon as the one before is closed. */
export function againAndAgain(bytesFor: (target: FloodTarget) => Uint8Array): Flood {
  return async (target, isOver) => {
    const bytes = bytesFor(target);
    let count = 0;
    while (!isOver()) {
      const { socket, closed } = openRaw(target.port, bytes, floodAddress);
      await within(patienceMs, closed);
      socket.destroy();
      count += 1;
    }
    return count;
  };
}

/**
 * A flood that sends the same on one connection for as long as that takes it, and on the next when it is closed.
 *
 * @param bytesAt what is sent the n-th time on a connection.
 */
export function withoutPause(
  begin: Uint8Array,
  bytesAt: (time: number, target: FloodTarget) => Uint8Array,
): Flood {
  return async (target, isOver) => {
    let count = 0;
    while (!isOver()) {
      const connection = openRaw(target.port, begin, floodAddress);
      for (let time = 0; !isOver() && !connection.socket.destroyed; time += 1) {
        await send(connection, bytesAt(time, target));
        count += 1;
      }
      connection.socket.destroy();
    }
    return count;
  };
}

/** Sends as fast as the service reads; a turn of the event loop later at the earliest. */
export async function send({ socket, closed }: RawConnection, bytes: Uint8Array): Promise<void> {
  if (socket.write(bytes)) {
    await new Promise((resolve) => setImmediate(resolve));
  } else {
    await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed]);
  }
}

/** Resolves with a promise, or when so many ms are over. */
export async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  await Promise.race([promise, delay(ms, undefined, { signal: over.signal }).catch(() => {})]);
  over.abort();
}

/** A flood of so many at a time, each of which is repeated. */
export function atOnce(count: number, one: Flood): Flood {
  return async (target, isOver) => {
    const counts = await Promise.all(Array.from({ length: count }, () => one(target, isOver)));
    return counts.reduce((sum, each) => sum + each, 0);
  };
}
