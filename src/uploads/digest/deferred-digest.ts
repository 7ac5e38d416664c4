import { createHash } from 'node:crypto';
import { giveBack } from '../../runtime/shared-buffers.ts';
import type { Digests, DigestStream, DigestWishes } from './digest-stream.ts';

/**
 * Up to so many bytes are digested where they are: sha256 of 64 KiB takes 0.05 ms, and to have another thread do it
 * 0.3 ms of the event loop and of that thread.
 */
const mostBytesHere = 64 * 1024;

/** A digest that goes to another thread once it is of more than a few bytes. */
export class DeferredDigest implements DigestStream {
  readonly #open: () => DigestStream;
  readonly #wishes: DigestWishes;
  /** What was given and went nowhere yet. */
  readonly #held: Uint8Array[] = [];
  #heldBytes = 0;
  #stream: DigestStream | undefined;
  #isClosed = false;

  /** @param open begins one on another thread. */
  constructor(wishes: DigestWishes, open: () => DigestStream) {
    this.#wishes = wishes;
    this.#open = open;
  }

  get bytesInFlight(): number {
    return this.#heldBytes + (this.#stream?.bytesInFlight ?? 0);
  }

  get isLost(): boolean {
    return this.#stream?.isLost ?? false;
  }

  async update(data: Uint8Array): Promise<void> {
    if (this.#stream === undefined && this.#heldBytes + data.byteLength <= mostBytesHere) {
      this.#held.push(data);
      this.#heldBytes += data.byteLength;
      return;
    }
    const stream = (this.#stream ??= this.#open());
    this.#heldBytes = 0;
    const given = [...this.#held.splice(0), data].map((bytes) => stream.update(bytes));
    await Promise.all(given);
  }

  async result(): Promise<Digests> {
    if (this.#isClosed) {
      throw new Error('the digest was closed');
    }
    if (this.#stream !== undefined) {
      return this.#stream.result();
    }
    // What is held stays, so that the digest can go on if the bytes do.
    return {
      sha256: this.#hash('sha256'),
      sha512: this.#wishes.sha512 ? this.#hash('sha512') : undefined,
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#stream?.close();
    for (const data of this.#held.splice(0)) {
      giveBack(data);
    }
  }

  #hash(algorithm: 'sha256' | 'sha512'): string {
    const hash = createHash(algorithm);
    for (const data of this.#held) {
      hash.update(data);
    }
    return hash.digest('hex');
  }
}
