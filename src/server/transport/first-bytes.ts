import type { Socket } from 'node:net';

/** How a client of HTTP/2 with prior knowledge begins (RFC 9113, section 3.4); no HTTP/1.1 request can. */
const http2Preface = Buffer.from('PRI * HTTP/2.0\r\n\r\n');

/** The first byte of TLS: its record is a handshake (RFC 8446, section 5.1). No request of HTTP begins with it. */
const tlsHandshake = 22;

/** What HTTP is spoken. */
export type Protocol = 'http1' | 'http2';

/** What a client may begin with. */
export type FirstWords = Protocol | 'tls';

/**
 * Tells the protocol of a fresh connection by its first bytes, which stay in the socket for who reads next.
 * Bytes are waited for only as long as they agree with the preface of HTTP/2, so that anything else, the
 * shortest HTTP/1.1 request too, is told at its first bytes.
 *
 * A connection that sends too little for `timeoutMs` is destroyed, and one that ends before it is told too:
 * then `told` is never called.
 */
export function tellProtocol(
  socket: Socket,
  timeoutMs: number,
  told: (protocol: Protocol) => void,
): void {
  tellFirstWords(socket, timeoutMs, (words) => {
    told(words === 'http2' ? 'http2' : 'http1');
    resumeSoon(socket);
  });
}

/** Has a socket go on, for a reader that has its listeners on by then. */
export function resumeSoon(socket: Socket): void {
  process.nextTick(() => {
    if (!socket.destroyed) {
      socket.resume();
    }
  });
}

/** The same for a port that may speak TLS. The socket is left paused. */
export function tellFirstWords(
  socket: Socket,
  timeoutMs: number,
  told: (words: FirstWords) => void,
): void {
  let first: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);

  function onData(bytes: Buffer): void {
    first = first.length === 0 ? bytes : Buffer.concat([first, bytes]);
    const known = Math.min(first.length, http2Preface.length);
    const agrees = first.compare(http2Preface, 0, known, 0, known) === 0;
    if (agrees && known < http2Preface.length) {
      return;
    }
    stop();
    // Paused until the next reader has its listeners on: else the bytes would be emitted to nobody.
    socket.pause();
    socket.unshift(first);
    told(agrees ? 'http2' : first[0] === tlsHandshake ? 'tls' : 'http1');
  }

  function onEnd(): void {
    stop();
    socket.destroy();
  }

  function stop(): void {
    clearTimeout(timer);
    socket.off('data', onData);
    socket.off('end', onEnd);
    socket.off('close', stop);
  }

  socket.on('data', onData);
  socket.once('end', onEnd);
  socket.once('close', stop);
}
