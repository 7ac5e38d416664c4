import type { BlobId } from '../../records/ids.ts';
import { giveBack, takeBuffer } from '../../runtime/shared-buffers.ts';
import type { BlobReader } from '../../storage/blob-reader.ts';
import { DeferredDigest } from './deferred-digest.ts';
import type { DigestPool } from './digest-pool.ts';
import type { Digests, DigestStream, DigestWishes } from './digest-stream.ts';

const MiB = 1024 * 1024;
/**
 * The unit in which stored bytes are read again, where few digests do so: the disk is then asked for the next one seldom
 * enough that the turns of a busy event loop do not hold it up.
 */
const fewUnitBytes = 4 * MiB;
/** Where many do, each has a buffer all the same. */
const manyUnitBytes = MiB;
const few = 4;
/**
 * Units of one digest that are read at a time, where few digests read: what the disk is to do next is there when it has
 * done the one before. Resumes of 2.7 GiB took 8.0 and 7.9 s with one, 5.9 and 4.6 with two, 5.5 with three.
 */
const fewReadsAtOnce = 2;

/** Digests that read stored bytes again just now. */
let catchingUp = 0;

/** The digest of a blob's first bytes. */
export interface DigestedPrefix {
  /** Was given the blob's first `position` bytes. */
  readonly stream: DigestStream;
  readonly position: number;
}

/**
 * The digests of a blob that grows. While it keeps up it takes the bytes from memory as they come;
 * when it is behind, as after a resume in a new process, it reads them from the store.
 */
export class BlobDigest {
  readonly #stream: DigestStream;
  readonly #reader: BlobReader;
  #position: number;
  /** How far the stored bytes reach: what the digest may read. */
  #stored: number;
  #catchingUp: Promise<void> | undefined;
  #isClosed = false;

  /**
   * @param stream has been given the blob's first `position` bytes.
   * @param reader of the digest's own.
   * @param stored how many bytes the reader can read.
   */
  constructor(stream: DigestStream, reader: BlobReader, position: number, stored: number) {
    this.#stream = stream;
    this.#reader = reader;
    this.#position = position;
    this.#stored = stored;
    this.#followStore();
  }

  /** Bytes from the blob's start that are digested. */
  get digested(): number {
    return this.#position - this.#stream.bytesInFlight;
  }

  /**
   * Takes bytes that were just stored at `offset`. `data` must not be used afterwards: its buffer may
   * be moved to another thread, or given back. Resolves when there is room for more.
   *
   * @throws if the digest's thread died.
   */
  async take(offset: number, data: Uint8Array): Promise<void> {
    if (this.#isClosed) {
      return;
    }
    this.#stored = offset + data.byteLength;
    if (this.#catchingUp || offset !== this.#position) {
      giveBack(data);
      this.#followStore();
    } else {
      await this.#give(data);
    }
  }

  /** Says that the store holds the blob's first `stored` bytes; the digest reads what it was not given. */
  follow(stored: number): void {
    this.#stored = stored;
    this.#followStore();
  }

  /** The digests of all stored bytes. @throws what reading them threw, or if the thread died. */
  async result(): Promise<Digests> {
    // The catching up in the background may have failed for a reason that has gone by.
    await this.#catchingUp;
    await this.#catchUp();
    return this.#stream.result();
  }

  /** Ends the following, and hands over what is digested. */
  async release(): Promise<DigestedPrefix> {
    this.#isClosed = true;
    await this.#catchingUp;
    await this.#reader.close();
    return { stream: this.#stream, position: this.#position };
  }

  #followStore(): void {
    if (this.#position < this.#stored && !this.#catchingUp && !this.#isClosed) {
      // What fails here is tried again with the next bytes, and thrown by `result` at the latest.
      this.#catchingUp = this.#catchUp()
        .catch(() => {})
        .finally(() => {
          this.#catchingUp = undefined;
        });
    }
  }

  async #catchUp(): Promise<void> {
    catchingUp += 1;
    /** Reads that are under way, in the order of what they read. */
    const reads: Promise<Uint8Array>[] = [];
    let asked = this.#position;
    try {
      while (this.#position < this.#stored && !this.#isClosed) {
        while (asked < this.#stored && reads.length < (catchingUp <= few ? fewReadsAtOnce : 1)) {
          const unitBytes = catchingUp <= few ? fewUnitBytes : manyUnitBytes;
          const data = takeBuffer(Math.min(unitBytes, this.#stored - asked));
          const read = this.#reader.read(asked, data).then(() => data);
          // Told below, unless one before it fails as well.
          read.catch(() => {});
          reads.push(read);
          asked += data.byteLength;
        }
        const data = await reads.shift();
        if (data === undefined) {
          break;
        }
        if (this.#isClosed) {
          giveBack(data);
        } else {
          await this.#give(data);
        }
      }
    } finally {
      catchingUp -= 1;
      // What was read for nothing. Of a read that failed the buffer is left to the garbage.
      for (const read of await Promise.allSettled(reads)) {
        if (read.status === 'fulfilled') {
          giveBack(read.value);
        }
      }
    }
  }

  /** The position counts what was given at once: what waits for room on the way gets there by itself. */
  #give(data: Uint8Array): Promise<void> {
    this.#position += data.byteLength;
    return this.#stream.update(data);
  }
}

/** Digests kept of uploads that nobody writes just now; the oldest go first. */
const parkedLimit = 256;

/**
 * Digests of uploads between two streams, so that one that is resumed in the same process need not be
 * read again. A parked digest is of committed bytes only, and those never change.
 */
export class ParkedDigests {
  readonly #pool: Pick<DigestPool, 'open'>;
  readonly #parked = new Map<BlobId, DigestedPrefix>();
  readonly #withSha512 = new WeakSet<DigestStream>();

  constructor(pool: Pick<DigestPool, 'open'>) {
    this.#pool = pool;
  }

  /** A digest of at most the blob's first `committedSize` bytes: a parked one, or a new one. */
  take(
    blobId: BlobId,
    committedSize: number,
    wishes: DigestWishes = { sha512: false },
  ): DigestedPrefix {
    const parked = this.#parked.get(blobId);
    this.#parked.delete(blobId);
    const hasAll = parked && (!wishes.sha512 || this.#withSha512.has(parked.stream));
    if (hasAll && parked.position <= committedSize && !parked.stream.isLost) {
      return parked;
    }
    parked?.stream.close();
    const stream = new DeferredDigest(wishes, () => this.#pool.open(wishes));
    if (wishes.sha512) {
      this.#withSha512.add(stream);
    }
    return { stream, position: 0 };
  }

  /** Keeps the digest of a blob's first `position` bytes if these are committed, and closes it if not. */
  park(blobId: BlobId, stream: DigestStream, position: number, committedSize: number): void {
    const other = this.#parked.get(blobId);
    const isUseless = position > committedSize || position === 0 || stream.isLost;
    // A writer that was superseded may end after the one that superseded it.
    if (isUseless || (other && other.position >= position)) {
      stream.close();
      return;
    }
    other?.stream.close();
    this.#parked.delete(blobId);
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
