import type { BlobId } from '../domain/ids.ts';
import type { BlobReader } from '../storage/blob-reader.ts';
import type { DigestPool, Sha256Stream } from './digest-pool.ts';

/** Bytes that may be on their way to the digest's thread; then the upload waits for it. */
const inFlightLimit = 32 * 1024 * 1024;
const catchUpBytes = 1024 * 1024;

/**
 * The sha256 of a blob that grows. While it keeps up it takes the bytes from memory as they come;
 * when it is behind, as after a resume in a new process, it reads them from the store.
 */
export class BlobDigest {
  readonly #stream: Sha256Stream;
  readonly #reader: BlobReader;
  #position: number;
  /** How far the stored bytes reach: what the digest may read. */
  #stored: number;
  #catchingUp: Promise<void> | undefined;
  #failure: unknown;
  #closed = false;

  /**
   * @param stream has been given the blob's first `position` bytes.
   * @param stored how many bytes the reader can read.
   */
  constructor(stream: Sha256Stream, reader: BlobReader, position: number, stored: number) {
    this.#stream = stream;
    this.#reader = reader;
    this.#position = position;
    this.#stored = stored;
    this.#followStore();
  }

  /** Bytes from the blob's start that the digest was given. */
  get position(): number {
    return this.#position;
  }

  /**
   * Takes bytes that were just stored at `offset`. `data` must not be used afterwards: its buffer may
   * be moved to another thread. Waits while too many bytes are on their way.
   */
  async take(offset: number, data: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#stored = offset + data.byteLength;
    if (this.#catchingUp || this.#failure !== undefined || offset !== this.#position) {
      this.#followStore();
      return;
    }
    this.#position += data.byteLength;
    this.#stream.update(data);
    if (this.#stream.bytesInFlight >= inFlightLimit) {
      await this.#stream.belowInFlight(inFlightLimit);
    }
  }

  /** Says that the store holds the blob's first `stored` bytes; the digest reads what it was not given. */
  follow(stored: number): void {
    this.#stored = stored;
    this.#followStore();
  }

  /** The sha256 of all stored bytes, lower-case hex. @throws what reading them threw. */
  async result(): Promise<string> {
    while (this.#catchingUp) {
      await this.#catchingUp;
    }
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
    return this.#stream.result();
  }

  /** Ends the following, and hands over the digest of the first `position` bytes. */
  async release(): Promise<{ readonly stream: Sha256Stream; readonly position: number }> {
    this.#closed = true;
    await this.#catchingUp;
    return { stream: this.#stream, position: this.#position };
  }

  #followStore(): void {
    const isBehind = this.#position < this.#stored;
    if (isBehind && !this.#catchingUp && this.#failure === undefined && !this.#closed) {
      this.#catchingUp = this.#catchUp();
    }
  }

  /** Never throws. */
  async #catchUp(): Promise<void> {
    try {
      while (this.#position < this.#stored && !this.#closed) {
        await this.#stream.belowInFlight(inFlightLimit);
        const data = new Uint8Array(Math.min(catchUpBytes, this.#stored - this.#position));
        await this.#reader.read(this.#position, data);
        this.#position += data.byteLength;
        this.#stream.update(data);
      }
    } catch (error) {
      this.#failure = error;
    }
    // In the same turn as the last look at what is stored, so that bytes that come later are followed.
    this.#catchingUp = undefined;
  }
}

/** Digests kept of uploads that nobody writes just now; the oldest go first. */
const parkedLimit = 256;

/**
 * Digests of uploads between two streams, so that one that is resumed in the same process need not be
 * read again. A parked digest is of committed bytes only, and those never change.
 */
export class ParkedDigests {
  readonly #pool: DigestPool;
  readonly #parked = new Map<
    BlobId,
    { readonly stream: Sha256Stream; readonly position: number }
  >();

  constructor(pool: DigestPool) {
    this.#pool = pool;
  }

  /** A digest of at most the blob's first `committedSize` bytes: a parked one, or a new one. */
  take(blobId: BlobId, committedSize: number): { stream: Sha256Stream; position: number } {
    const parked = this.#parked.get(blobId);
    this.#parked.delete(blobId);
    if (parked && !parked.stream.isLost && parked.position <= committedSize) {
      return parked;
    }
    parked?.stream.close();
    return { stream: this.#pool.open(), position: 0 };
  }

  /** Keeps the digest of a blob's first `position` bytes if these are committed; closes it if not, or if it is lost. */
  park(blobId: BlobId, stream: Sha256Stream, position: number, committedSize: number): void {
    if (position > committedSize || position === 0 || stream.isLost) {
      stream.close();
      return;
    }
    this.#parked.get(blobId)?.stream.close();
    this.#parked.set(blobId, { stream, position });
    for (const [oldest, { stream: old }] of this.#parked) {
      if (this.#parked.size <= parkedLimit) {
        break;
      }
      old.close();
      this.#parked.delete(oldest);
    }
  }
}
