import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { isHttp2, type NodeRequest, type NodeResponse } from '../transport/node-http.ts';

/** Zeros to send, again and again. */
const zeros = Buffer.alloc(1024 * 1024);

/**
 * Writes the body of a response no faster than its client reads. Whatever the client does, nothing more is held
 * than what was written last.
 */
export class BodyWriter {
  readonly #response: ServerResponse;
  /** Closes when the client goes. A response that still waits for its connection of HTTP/1.1 does not. */
  readonly #carrier: Duplex;
  readonly #gone = new AbortController();

  constructor(request: NodeRequest, response: NodeResponse) {
    // That of HTTP/2 has all that is used here, but types that do not agree.
    this.#response = response as ServerResponse;
    this.#carrier = isHttp2(request) ? request.stream : request.socket;
    this.#carrier.once('close', this.#onGone);
    this.#carrier.once('aborted', this.#onGone);
    if (this.#carrier.destroyed) {
      this.#onGone();
    }
  }

  /** Whether the client is gone: what is written then is dropped. */
  get isGone(): boolean {
    return this.#gone.signal.aborted;
  }

  /** Writes bytes; resolves when more are wanted, or the client is gone. */
  async write(data: Uint8Array): Promise<void> {
    if (!this.isGone && !this.#response.write(data)) {
      await this.#untilDrained();
    }
  }

  /** Writes zeros; the same. */
  async writeZeros(count: number): Promise<void> {
    for (let left = count; left > 0 && !this.isGone; left -= zeros.byteLength) {
      await this.write(left < zeros.byteLength ? zeros.subarray(0, left) : zeros);
    }
  }

  /** Lets go of the connection, which goes on to serve others. */
  release(): void {
    this.#carrier.off('close', this.#onGone);
    this.#carrier.off('aborted', this.#onGone);
  }

  readonly #onGone = (): void => {
    this.#gone.abort();
    // A stream of HTTP/2 that its client resets without naming an error stays until its request is read. Later,
    // since one that is reset from here is just being so.
    setImmediate(() => this.#carrier.destroy());
  };

  #untilDrained(): Promise<void> {
    const { signal } = this.#gone;
    return new Promise((resolve) => {
      const done = (): void => {
        this.#response.off('drain', done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#response.on('drain', done);
      signal.addEventListener('abort', done);
    });
  }
}
