import { once } from 'node:events';
import {
  connect,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from 'node:http2';

/** An answer whose status is not OK. */
export class GrpcStatusError extends Error {}

const MiB = 1024 * 1024;
const prefixBytes = 5;

/** A message with the five bytes before it with which gRPC sends it. */
export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(prefixBytes + message.byteLength);
  frame[0] = 0;
  frame.writeUInt32BE(message.byteLength, 1);
  frame.set(message, prefixBytes);
  return frame;
}

/**
 * A gRPC client with next to nothing in it, so that on a machine with few cores it takes little of the
 * time of what is measured.
 */
export class GrpcConnection {
  readonly #session: ClientHttp2Session;

  private constructor(session: ClientHttp2Session) {
    this.#session = session;
  }

  /** Connects; resolves when the server's settings, and so its windows, are known. */
  static async open(url: string): Promise<GrpcConnection> {
    const session = connect(url, {
      settings: { initialWindowSize: 8 * MiB },
      // A service of a benchmark is its own authority.
      rejectUnauthorized: false,
    });
    await once(session, 'remoteSettings');
    session.setLocalWindowSize(32 * MiB);
    return new GrpcConnection(session);
  }

  /** Begins a call. @param method `<package>.<service>/<method>` */
  call(method: string): GrpcCall {
    return new GrpcCall(
      this.#session.request({
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: `/${method}`,
        'content-type': 'application/grpc+proto',
        te: 'trailers',
      }),
    );
  }

  /** Sends one message and gives the one that is answered. @throws GrpcStatusError */
  async unary(method: string, message: Uint8Array): Promise<Buffer> {
    const call = this.call(method);
    call.stream.end(framed(message));
    return await call.onlyMessage();
  }

  /** Has a break of the connection told, which ends the process where nobody is told. */
  onBreak(told: (error: Error) => void): void {
    this.#session.on('error', told);
  }

  /** Ends the connection at once. */
  close(): void {
    this.#session.destroy();
  }
}

/** One call, whose messages are read as they come. */
export class GrpcCall {
  readonly stream: ClientHttp2Stream;
  #status: string | undefined;
  #message = '';

  constructor(stream: ClientHttp2Stream) {
    this.stream = stream;
    const noteStatus = (headers: IncomingHttpHeaders): void => {
      const status = headers['grpc-status'];
      if (status !== undefined) {
        this.#status = String(status);
        this.#message = decodeURIComponent(String(headers['grpc-message'] ?? ''));
      }
    };
    stream.on('response', noteStatus);
    stream.on('trailers', noteStatus);
  }

  /** Resolves when the call has ended well. @throws GrpcStatusError; what broke the connection. */
  async ended(): Promise<void> {
    if (!this.stream.closed) {
      await once(this.stream, 'close');
    }
    if (this.#status !== '0') {
      throw new GrpcStatusError(`grpc-status ${this.#status ?? 'missing'}: ${this.#message}`);
    }
  }

  /** Calls back with each message, in a buffer of its own or a part of a larger one. */
  onMessages(onMessage: (message: Buffer) => void): void {
    let rest: Buffer = Buffer.alloc(0);
    this.stream.on('data', (bytes: Buffer) => {
      rest = rest.byteLength === 0 ? bytes : Buffer.concat([rest, bytes]);
      while (rest.byteLength >= prefixBytes) {
        const end = prefixBytes + rest.readUInt32BE(1);
        if (rest.byteLength < end) {
          break;
        }
        onMessage(rest.subarray(prefixBytes, end));
        rest = rest.subarray(end);
      }
    });
  }

  /** The answer of a call that has just one. @throws as `ended`. */
  async onlyMessage(): Promise<Buffer> {
    let answer: Buffer | undefined;
    this.onMessages((message) => {
      answer = message;
    });
    await this.ended();
    if (answer === undefined) {
      throw new GrpcStatusError('no message was answered');
    }
    return answer;
  }
}
