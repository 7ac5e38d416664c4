import * as http2 from 'node:http2';
import * as net from 'node:net';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import {
  startListener,
  type Listener,
  type ListenerOptions,
} from '../../../src/server/transport/listener.ts';
import {
  frame,
  frameTypes,
  magic,
  openRaw,
  type RawConnection,
} from '../../../bench/wire/http2-frames.ts';
import { roomyLimits } from '../fake-server.ts';

/** A port, and what came of what was sent to it. */
export interface CountingListener extends Listener {
  /** How many requests were handled. */
  handled(): number;
  /** How many requests are open. */
  open(): number;
  /** Answers the requests that are open. */
  answer(): void;
  readonly log: string[];
}

/** Opens a port. Requests to `/answered` are answered; others stay open, until they are. */
export async function listen(options: Partial<ListenerOptions> = {}): Promise<CountingListener> {
  let count = 0;
  const open = new Set<() => void>();
  const log: string[] = [];
  const listener = await startListener({
    ...roomyLimits,
    host: '0.0.0.0',
    port: 0,
    logger: pino({ level: 'info' }, { write: (line: string) => log.push(line) }),
    handler(request, response) {
      count += 1;
      const answer = (): void => {
        open.delete(answer);
        response.end('hello');
      };
      if (request.url === '/answered') {
        answer();
      } else {
        open.add(answer);
        response.once('close', () => open.delete(answer));
      }
    },
    ...options,
  });
  onTestFinished(() => {
    listener.destroy();
    return listener.closed;
  });
  return {
    ...listener,
    handled: () => count,
    open: () => open.size,
    answer: () => open.forEach((answer) => answer()),
    log,
  };
}

/** A connection of HTTP/2 that sends `bytes` as they are. */
export function raw(listener: Listener, bytes: Uint8Array, from?: string): RawConnection {
  const connection = openRaw(listener.port, bytes, from);
  onTestFinished(() => void connection.socket.destroy());
  return connection;
}

/** A connection that says nothing by itself. @param from all of 127.0.0.0/8 are addresses of this machine. */
export function connect(listener: Listener, from = '127.0.0.1'): net.Socket {
  const socket = net.connect({ port: listener.port, host: '127.0.0.1', localAddress: from });
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  return socket;
}

/** A client of HTTP/2 as it should be. */
export function connectHttp2(listener: Listener, from?: string): http2.ClientHttp2Session {
  const session = http2.connect('http://localhost', {
    createConnection: () => connect(listener, from),
  });
  session.on('error', () => {});
  onTestFinished(() => session.destroy());
  return session;
}

/** What is answered. */
export async function get(session: http2.ClientHttp2Session, path = '/answered'): Promise<string> {
  return await text(session.request({ ':path': path }));
}

/** All that a connection brings until it is closed, in whatever way. */
export async function told(socket: net.Socket): Promise<string> {
  let all = '';
  socket.on('data', (bytes) => (all += bytes.toString('latin1')));
  await once(socket, 'close');
  return all;
}

/** How a connection of HTTP/2 begins. */
export const begin = Buffer.concat([magic, frame(frameTypes.settings, 0, 0)]);

/** What `of` gives for each of so many streams of a client. */
export function streams(count: number, of: (stream: number) => Buffer, first = 1): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, i) => of(first + 2 * i)));
}
