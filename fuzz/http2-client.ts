import * as http2 from 'node:http2';
import type { Answer } from './answer.ts';

/** So long an answer may take, in ms, however busy the machine. */
const patienceMs = 60_000;
/** Streams that have begun to answer are given up after so long, in ms: watches have no end. */
const streamMs = 100;
/** Of gRPC every answer is a stream of messages. */
const streamTypes = /^application\/(?:grpc|connect)/;
/** So much of an answer is kept, in bytes. */
const keptBytes = 4096;

/** Sends requests over HTTP/2 on a connection that is opened again when it was closed. */
export class Http2Client {
  readonly #url: string;
  #session: http2.ClientHttp2Session | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  /** Sends a request and its body, and tells what came back. */
  send(what: string, headers: http2.OutgoingHttpHeaders, body: Buffer): Promise<Answer> {
    return new Promise((resolve) => {
      let outcome = 'closed';
      let text = '';
      let stream: http2.ClientHttp2Stream;
      try {
        stream = this.#open().request({ ':method': 'POST', ...headers });
      } catch (error) {
        // Node's own client refuses to send it.
        resolve({ what, outcome: 'not sent', text: String(error) });
        return;
      }
      const timer = setTimeout(() => {
        outcome = 'none';
        stream.close(http2.constants.NGHTTP2_CANCEL);
      }, patienceMs);
      const note = (received: http2.IncomingHttpHeaders): void => {
        const status = received['grpc-status'];
        if (status !== undefined) {
          outcome = String(status);
          text ||= decodeURIComponent(String(received['grpc-message'] ?? ''));
        } else if (received[':status'] !== undefined) {
          outcome = `http ${String(received[':status'])}`;
        }
      };
      stream.on('response', (received) => {
        note(received);
        if (streamTypes.test(String(received['content-type']))) {
          setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), streamMs).unref();
        }
      });
      stream.on('trailers', note);
      stream.on('data', (bytes: Buffer) => {
        if (text.length < keptBytes) {
          text += bytes.toString('latin1');
        }
      });
      stream.on('error', () => {});
      stream.on('close', () => {
        clearTimeout(timer);
        resolve({ what, outcome: connectCode(text) ?? outcome, text: text.slice(0, 300) });
      });
      if (!stream.writableEnded) {
        stream.end(body);
      }
    });
  }

  /** Closes the connection. */
  close(): void {
    this.#session?.destroy();
  }

  #open(): http2.ClientHttp2Session {
    if (this.#session === undefined || this.#session.destroyed || this.#session.closed) {
      this.#session = http2.connect(this.#url);
      this.#session.on('error', () => {});
    }
    return this.#session;
  }
}

/** What an error of Connect says, in an answer or at the end of a stream. */
function connectCode(text: string): string | undefined {
  return (
    /^\{?"?(?:error"?:\{)?"?code"?:"([a-z_]+)"/.exec(text)?.[1] ??
    /"error":\{"code":"([a-z_]+)"/.exec(text)?.[1]
  );
}
