import * as net from 'node:net';
import type { Answer } from './answer.ts';

/** A connection on which nothing more comes for so long has told all, in ms. */
const quietMs = 15;
/** So long a connection may stay silent, in ms, however busy the machine. */
const patienceMs = 60_000;
/** So much of an answer is kept, in characters. */
const keptCharacters = 4096;

/** Sends bytes on a connection of their own, ends its side of it, and tells what came back. */
export function sendRaw(port: number, what: string, bytes: Buffer): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let text = '';
    let outcome = 'closed';
    let quiet: NodeJS.Timeout | undefined;
    const timer = setTimeout(() => {
      outcome = 'none';
      socket.destroy();
    }, patienceMs);
    socket.on('data', (data: Buffer) => {
      if (text.length < keptCharacters) {
        text += data.toString('latin1');
      }
      clearTimeout(quiet);
      quiet = setTimeout(() => socket.destroy(), quietMs);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      clearTimeout(quiet);
      const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
      resolve({
        what,
        outcome: status === undefined ? outcome : `http ${status}`,
        text: text.slice(0, 300),
      });
    });
    socket.end(bytes);
  });
}
