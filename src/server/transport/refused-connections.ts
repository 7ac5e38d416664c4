import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { ReachedLimit } from './connections.ts';
import { CountedLog } from './counted-log.ts';
import { overloadAnswer } from './overload-answer.ts';
import type { Wire } from './wire.ts';

/** How long a client that is refused may take to say its protocol, and then to read why, in ms each. */
const refusalMs = 1000;

/** How long a client of HTTP/2 is let wait for its refusal, in ms: those of gRPC come back at once, without end. */
const http2PauseMs = 1000;

/** More than so many clients at once are not told why: they would be one more thing to run out of. */
const maxAtOnce = 256;

/** The setting of each limit. */
const settingOf: Readonly<Record<ReachedLimit, string>> = {
  maxConnections: 'DARKROOM_MAX_CONNECTIONS',
  maxConnectionsPerPeer: 'DARKROOM_MAX_CONNECTIONS_PER_PEER',
  floodPauseMs: 'DARKROOM_FLOOD_PAUSE_MS',
};

const messages: Readonly<Record<ReachedLimit, string>> = {
  maxConnections: 'too many connections are busy: try again later, or have the operator raise',
  maxConnectionsPerPeer:
    'too many connections from this address are busy: use fewer, or have the operator raise',
  floodPauseMs:
    'connections from this address were ended because they gave up too many calls, and too many wait for their turn ' +
    'since: try again later, or have the operator lower',
};

/** Why connections are refused, for the log. */
const causes: Readonly<Record<ReachedLimit, string>> = {
  maxConnections: 'all that there may be have requests open',
  maxConnectionsPerPeer: 'all that one address may have have requests open',
  floodPauseMs: 'the address gave up too many calls on earlier ones',
};

/**
 * Refuses connections in the words of their protocol, so that clients know why and try again later or elsewhere: 503 in
 * HTTP/1.1; in HTTP/2 a GOAWAY that says that no call was begun, which to clients of gRPC is UNAVAILABLE. It has no error
 * code: with ENHANCE_YOUR_CALM they would take it for RESOURCE_EXHAUSTED, and not try again.
 */
export class RefusedConnections {
  readonly #wire: Wire;
  readonly #log: CountedLog;
  #telling = 0;

  constructor(wire: Wire, logger: Logger) {
    this.#wire = wire;
    this.#log = new CountedLog(logger, 'warn', 'refused');
  }

  /** Answers a connection, and ends it. */
  refuse(socket: Socket, limit: ReachedLimit): void {
    this.#log.tell(`connections are refused: ${causes[limit]} (${settingOf[limit]})`, {
      peer: socket.remoteAddress,
    });
    if (this.#telling >= maxAtOnce) {
      socket.destroy();
      return;
    }
    this.#telling += 1;
    socket.once('close', () => (this.#telling -= 1));
    const message = `${messages[limit]} ${settingOf[limit]}`;
    this.#wire.begin(socket, refusalMs, ({ socket: spoken, protocol }) => {
      // What the client has sent is read: closing before would take the answer away from it.
      spoken.resume();
      const isHttp2 = protocol === 'http2';
      const pauseMs = isHttp2 ? http2PauseMs : 0;
      const answer = setTimeout(
        () => spoken.end(isHttp2 ? goaway(message) : unavailable(message)),
        pauseMs,
      );
      const end = setTimeout(() => socket.destroy(), pauseMs + refusalMs);
      socket.once('close', () => {
        clearTimeout(answer);
        clearTimeout(end);
      });
    });
  }
}

function unavailable(message: string): string {
  const { headers, body } = overloadAnswer('TOO_MANY_CONNECTIONS', message);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 503 Service Unavailable\r\n${lines.join('')}\r\n${body}`;
}

/** The server's preface, which is its SETTINGS, and then GOAWAY with NO_ERROR (RFC 9113, sections 3.4 and 6.8). */
function goaway(message: string): Buffer {
  const lastStreamAndCode = Buffer.alloc(8);
  const payload = Buffer.concat([lastStreamAndCode, Buffer.from(message)]);
  return Buffer.concat([frame(settingsType, Buffer.of()), frame(goawayType, payload)]);
}

const settingsType = 4;
const goawayType = 7;

/** A frame of the whole connection, without flags (RFC 9113, section 4.1). */
function frame(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.byteLength, 0, 3);
  head[3] = type;
  return Buffer.concat([head, payload]);
}
