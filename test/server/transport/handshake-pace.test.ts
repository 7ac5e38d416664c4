import { once } from 'node:events';
import * as net from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { HandshakePace } from '../../../src/server/transport/handshake-pace.ts';

/** Sockets of so many connections from each of some addresses of this machine, as a server has them. */
async function connections(addresses: readonly string[], each: number): Promise<net.Socket[]> {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => sockets.push(socket));
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const clients = addresses.flatMap((localAddress) =>
    Array.from({ length: each }, () => net.connect({ port, host: '127.0.0.1', localAddress })),
  );
  onTestFinished(() => {
    clients.forEach((client) => client.destroy());
    sockets.forEach((socket) => socket.destroy());
    server.close();
  });
  await expect.poll(() => sockets.length).toBe(clients.length);
  return sockets;
}

function busyFor(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until) {
    // As a handshake is.
  }
}

const addresses = Array.from({ length: 10 }, (_, i) => `127.0.0.${i + 2}`);

it('handshakes of many addresses together take no more than their share of the time', async () => {
  const pace = new HandshakePace({ handshakesPerPeer: 1000, handshakeShare: 20 });
  const sockets = await connections(addresses, 4);
  const began = performance.now();
  let begun = 0;
  let turns = 0;
  const count = (): void => {
    turns += 1;
    if (begun < sockets.length) {
      setImmediate(count);
    }
  };
  setImmediate(count);
  for (const socket of sockets) {
    pace.take(socket, () => {
      busyFor(2);
      begun += 1;
    });
  }
  // The first need not wait, and the others do not come in one go.
  expect(begun).toBe(1);
  await expect.poll(() => begun, { timeout: 30_000 }).toBe(sockets.length);
  // After each but the last four times as long is for all else.
  expect(performance.now() - began).toBeGreaterThanOrEqual((sockets.length - 1) * 2 * 5);
  expect(turns).toBeGreaterThan(sockets.length);
});

it('what a handshake takes besides its begin counts, too', async () => {
  const pace = new HandshakePace({ handshakesPerPeer: 1000, handshakeShare: 50 });
  const [first, second] = await connections(['127.0.0.2'], 2);
  const began = performance.now();
  pace.take(first!, () => {});
  pace.took(100);
  const secondBegan = new Promise<number>((resolve) =>
    pace.take(second!, () => resolve(performance.now())),
  );
  expect((await secondBegan) - began).toBeGreaterThanOrEqual(100);
});

it('those who come from another address wait for one of each, not for all of who sends many', async () => {
  const pace = new HandshakePace({ handshakesPerPeer: 1000, handshakeShare: 50 });
  const many = await connections(['127.0.0.2'], 50);
  const [other] = await connections(['127.0.0.3'], 1);
  const order: string[] = [];
  for (const socket of many) {
    pace.take(socket, () => {
      busyFor(1);
      order.push('many');
    });
  }
  pace.take(other!, () => order.push('other'));
  await expect.poll(() => order.length, { timeout: 30_000 }).toBe(51);
  expect(order.indexOf('other')).toBeLessThanOrEqual(2);
});

it('one that is closed while it waits is forgotten', async () => {
  const pace = new HandshakePace({ handshakesPerPeer: 1, handshakeShare: 100 });
  const [first, second, third] = await connections(['127.0.0.2'], 3);
  const begun: string[] = [];
  pace.take(first!, () => begun.push('first'));
  pace.take(second!, () => begun.push('second'));
  pace.take(third!, () => begun.push('third'));
  second!.destroy();
  await expect.poll(() => begun, { timeout: 30_000 }).toEqual(['first', 'third']);
});
