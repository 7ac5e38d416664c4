import { DarkroomError } from '../../domain/darkroom-error.ts';
import {
  StreamWatchdog,
  type PaceBreach,
  type StreamPace,
} from '../../uploads/receiving/stream-watchdog.ts';
import type { RequestBody } from '../transport/request-body.ts';

/**
 * The body of a call that sends one message, which fails where the client does not go on sending it: else half a message
 * would be waited for as long as its connection lives. Calls that send a stream are watched by who reads it.
 */
export function atPace(body: RequestBody, pace: StreamPace): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      const watchdog = new StreamWatchdog(
        pace,
        () => body.bytesReceived,
        (breach) => body.fail(notSent(breach)),
      );
      watchdog.beginWait();
      // Not when its reader stops: one who refuses what has come may just forget the rest.
      body.onceOver(() => watchdog.stop());
      return body;
    },
  };
}

function notSent(breach: PaceBreach): DarkroomError {
  return breach.kind === 'idle'
    ? new DarkroomError(
        'STREAM_IDLE',
        `no byte of the request came for ${breach.idleMs / 1000} s, and it is not whole; nothing was done`,
      )
    : new DarkroomError(
        'STREAM_TOO_SLOW',
        `the request came at ${breach.rate} bytes/s for ${Math.round(breach.waitedMs / 1000)} s, and ` +
          `${breach.minRate} are the least that is taken; nothing was done`,
      );
}
