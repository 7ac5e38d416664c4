import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { Allowance } from './allowance.ts';

/** How many frames that ask for an answer, and for nothing else, one connection of HTTP/2 may send. */
export interface FrameLimits {
  readonly maxPingsPerSecond: number;
  readonly maxSettingsPerSecond: number;
}

/** Which of them a connection has passed. */
export type FrameFlood = 'PING' | 'SETTINGS';

/** What is sent for them (RFC 9113, sections 6.5 and 6.7), in bytes. */
const pingAckBytes = 17;
const settingsAckBytes = 9;

/**
 * Bounds the PING (CVE-2019-9512) and SETTINGS (CVE-2019-9515) of one connection. Each has to be answered, and costs its client
 * next to nothing; nghttp2 bounds only those of which the answers are not taken.
 *
 * A PING does not count where something else was sent to the client since the last one: clients of gRPC measure the line
 * that way, as often as data comes, and gRPC's own servers count them so
 * (https://github.com/grpc/proposal/blob/master/A8-client-side-keepalive.md).
 *
 * @param onExceeded told once; it is to end the session.
 */
export function limitFrames(
  session: ServerHttp2Session,
  socket: Socket,
  { maxPingsPerSecond, maxSettingsPerSecond }: FrameLimits,
  onExceeded: (flood: FrameFlood) => void,
): void {
  const pings = new Allowance(maxPingsPerSecond);
  const settings = new Allowance(maxSettingsPerSecond);
  let ackBytes = 0;
  /** What the client was sent besides, by the last PING. */
  let sentBytes = 0;

  session.on('ping', () => {
    const sent = socket.bytesWritten - ackBytes;
    ackBytes += pingAckBytes;
    if (sent > sentBytes) {
      sentBytes = sent;
    } else if (!pings.use()) {
      onExceeded('PING');
    }
  });
  session.on('remoteSettings', () => {
    ackBytes += settingsAckBytes;
    if (!settings.use()) {
      onExceeded('SETTINGS');
    }
  });
}
