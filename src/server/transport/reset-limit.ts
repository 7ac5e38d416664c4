import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { Allowance } from './allowance.ts';

/** Calls that end later than this were no flood, in ms: of them there are no more than may be open at once. */
const youngMs = 1000;

/** How many calls one connection may give up within a second of their begin. */
export interface GivenUpCallLimits {
  /** At once. */
  readonly maxGivenUpCalls: number;
  /** More each second. */
  readonly maxGivenUpCallsPerSecond: number;
}

/** What one connection may do, in calls. */
export interface ResetAllowance extends GivenUpCallLimits {
  /** Of how many, at most, the service hears in the same turn of its event loop. */
  readonly perTurn: number;
  /** How many may be open at the same time. */
  readonly maxConcurrentStreams: number;
}

/**
 * Bounds how many calls one connection of HTTP/2 may begin only to give them up (CVE-2023-44487). Such a call costs its
 * client next to nothing and frees its place at once, while the service may have begun to work for it: so the limit on
 * concurrent calls does not help. Counted is every call that ended within a second and was not answered in full, whoever
 * reset it: a client can have the service reset its calls by faulty frames (CVE-2025-8671).
 *
 * A connection that does so too often gets GOAWAY with ENHANCE_YOUR_CALM and is closed. nghttp2 has such a limit too, but
 * takes it for an error of its own and knows nothing of answers; it stays behind this one.
 *
 * @param onExceeded told once, before the connection is closed.
 */
export function limitResets(
  session: ServerHttp2Session,
  { maxGivenUpCalls, maxGivenUpCallsPerSecond, perTurn, maxConcurrentStreams }: ResetAllowance,
  onExceeded: () => void,
): void {
  const allowance = new Allowance(maxGivenUpCalls, maxGivenUpCallsPerSecond);
  /** Calls that began since the event loop last came round. */
  let begunThisTurn = 0;

  function calm(): void {
    if (!session.destroyed) {
      onExceeded();
      session.destroy(
        new Error('the client gave up too many calls that it had just begun'),
        constants.NGHTTP2_ENHANCE_YOUR_CALM,
      );
    }
  }

  session.on('stream', (stream: ServerHttp2Stream) => {
    begunThisTurn += 1;
    if (begunThisTurn === 1) {
      setImmediate(() => (begunThisTurn = 0));
    } else if (begunThisTurn > maxConcurrentStreams + Math.min(perTurn, allowance.left)) {
      // No call is answered in the turn in which it begins, so those that were open too many are given up. To wait until
      // each is told to have ended would be to begin all that has come, and a read may hold thousands.
      calm();
      return;
    }
    const begunAt = performance.now();
    stream.on('close', () => {
      if (!isAnswered(stream) && performance.now() - begunAt < youngMs && !allowance.use()) {
        calm();
      }
    });
  });
}

/** Whether a call that has ended was answered in full. */
export function isAnswered(stream: ServerHttp2Stream): boolean {
  return stream.writableFinished && stream.rstCode === constants.NGHTTP2_NO_ERROR;
}
