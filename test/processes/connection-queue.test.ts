import { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { ConnectionQueue, type ConnectionTaker } from '../../src/processes/connection-queue.ts';

/** A process that keeps what it is given. */
class Taker implements ConnectionTaker {
  readonly taken: Socket[] = [];

  take(socket: Socket): void {
    this.taken.push(socket);
  }
}

function sockets(count: number): Socket[] {
  return Array.from({ length: count }, () => new Socket());
}

test('connections go to processes in turn, each of which gets the next when it has taken one', () => {
  const queue = new ConnectionQueue(10);
  const [a, b] = [new Taker(), new Taker()];
  queue.free(a);
  queue.free(b);
  const [first, second, third, fourth, fifth] = sockets(5);
  for (const socket of [first!, second!, third!, fourth!, fifth!]) {
    queue.add(socket);
  }
  expect([a.taken, b.taken]).toEqual([[first], [second]]);
  queue.free(b);
  queue.free(a);
  queue.free(b);
  expect(a.taken).toEqual([first, fourth]);
  expect(b.taken).toEqual([second, third, fifth]);
});

test('a process that takes nothing more gets one, and the others all the rest', () => {
  const queue = new ConnectionQueue(10);
  const [frozen, well] = [new Taker(), new Taker()];
  queue.free(frozen);
  queue.free(well);
  for (const socket of sockets(6)) {
    queue.add(socket);
    if (well.taken.includes(socket)) {
      queue.free(well);
    }
  }
  expect(frozen.taken).toHaveLength(1);
  expect(well.taken).toHaveLength(5);
});

test('connections wait while there is nobody to take them, and not too many', () => {
  const queue = new ConnectionQueue(2);
  const [first, second, third] = sockets(3);
  queue.add(first!);
  queue.add(second!);
  queue.add(third!);
  expect([first, second, third].map((socket) => socket!.destroyed)).toEqual([false, false, true]);
  const taker = new Taker();
  queue.free(taker);
  queue.leave(taker);
  expect(taker.taken).toEqual([first]);
  queue.close();
  expect(second!.destroyed).toBe(true);
});

test('one that has left is given nothing', () => {
  const queue = new ConnectionQueue(2);
  const taker = new Taker();
  queue.free(taker);
  queue.leave(taker);
  queue.add(sockets(1)[0]!);
  expect(taker.taken).toEqual([]);
});
