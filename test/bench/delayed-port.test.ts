import { once } from 'node:events';
import * as net from 'node:net';
import { buffer } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { openDelayedPort } from '../../bench/wire/delayed-port.ts';

/** What answers with what it is sent. */
async function openEcho(): Promise<number> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  onTestFinished(() => void server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as net.AddressInfo).port;
}

test.each([0, 40])(
  'bytes are on their way for %d ms in either direction, and stay as they are',
  async (delayMs) => {
    const line = await openDelayedPort(await openEcho(), delayMs);
    onTestFinished(() => line.close());
    const socket = net.connect({ port: line.port, host: '127.0.0.1', allowHalfOpen: true });
    const sent = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251));
    await once(socket, 'connect');
    const began = performance.now();
    socket.write(sent.subarray(0, 1000));
    socket.end(sent.subarray(1000));
    const first = once(socket, 'readable').then(() => performance.now() - began);
    expect((await buffer(socket)).equals(sent)).toBe(true);
    // A timer may come a millisecond early.
    expect(await first).toBeGreaterThan(2 * delayMs - 3);
  },
);

test('a server that closes closes the connection to its client', async () => {
  const server = net.createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const line = await openDelayedPort((server.address() as net.AddressInfo).port, 5);
  onTestFinished(() => line.close());
  const socket = net.connect(line.port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'close');
});
