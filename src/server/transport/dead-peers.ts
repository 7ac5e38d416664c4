import type { ServerHttp2Session } from 'node:http2';

/**
 * Destroys HTTP/2 sessions whose peer is gone without having said so: a machine that lost its power, a
 * firewall that forgot the connection. Streams of such a session then end like any that broke.
 *
 * A session from which nothing came for one to two intervals is sent a PING, and destroyed if nothing comes
 * for another one. Any byte counts as a sign of life, not only the answer to the PING: the answer waits in the
 * client's queue behind up to a window of upload, which on a slow line takes longer than any sane bound.
 */
export class DeadPeers {
  readonly #sessions = new Map<ServerHttp2Session, { bytesRead: number; asked: boolean }>();
  readonly #timer: NodeJS.Timeout;

  /** @param intervalMs A dead peer is noticed after two to three of these. */
  constructor(intervalMs: number) {
    this.#timer = setInterval(() => this.#look(), intervalMs).unref();
  }

  /** Looks after a session until it closes. */
  watch(session: ServerHttp2Session): void {
    this.#sessions.set(session, { bytesRead: -1, asked: false });
    session.once('close', () => this.#sessions.delete(session));
  }

  /** Stops looking. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    for (const [session, seen] of this.#sessions) {
      if (session.destroyed) {
        continue;
      }
      const bytesRead = session.socket.bytesRead;
      if (bytesRead !== seen.bytesRead) {
        seen.bytesRead = bytesRead;
        seen.asked = false;
      } else if (seen.asked) {
        session.destroy();
      } else {
        seen.asked = true;
        // A session that is closing takes no PING and is bounded by the drain.
        session.ping(() => {});
      }
    }
  }
}
