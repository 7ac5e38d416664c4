import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { againAndAgain, atOnce, open, within, type Flood } from './flood.ts';

/** The first flight of a client, as bytes: all that the service has to see to do the work of a handshake. */
export async function clientHello(): Promise<Buffer> {
  const sent = Promise.withResolvers<Buffer>();
  const wire = new Duplex({
    read() {},
    write(bytes: Buffer, _, done) {
      sent.resolve(bytes);
      done();
    },
  });
  const client = connectTls({ socket: wire, servername: 'localhost', ALPNProtocols: ['h2'] });
  client.on('error', () => {});
  const bytes = await sent.promise;
  client.destroy();
  return bytes;
}

/** Begins handshakes from an address, each when the service has answered the one before, and ends none of them. */
function half(addressOf: (count: number) => string): Flood {
  return async ({ port }, isOver) => {
    const hello = await clientHello();
    let count = 0;
    while (!isOver()) {
      const socket = open(port, addressOf(count));
      socket.write(hello);
      await within(2000, once(socket, 'data'));
      socket.destroy();
      count += 1;
    }
    return count;
  };
}

/** Handshakes to their end, and nothing after it. */
const whole: Flood = async ({ port }, isOver) => {
  let count = 0;
  while (!isOver()) {
    const client = connectTls({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
    });
    client.on('error', () => {});
    await within(2000, once(client, 'secureConnect'));
    client.destroy();
    count += 1;
  }
  return count;
};

/** Of handshakes of TLS. */
export const handshakeFloods: Readonly<Record<string, Flood>> = {
  'handshakes of one address, 16 at a time': atOnce(
    16,
    half(() => '127.0.0.2'),
  ),
  'handshakes of 250 addresses, 64 at a time': atOnce(
    64,
    half((count) => `127.0.1.${1 + ((count * 7 + Math.floor(Math.random() * 250)) % 250)}`),
  ),
  'whole handshakes of the same address as the other’s': atOnce(8, whole),
  'hellos that do not end': againAndAgain(() => Buffer.from('160301020001', 'hex')),
};
