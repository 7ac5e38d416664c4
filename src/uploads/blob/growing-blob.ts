import { copyBytes } from '../../runtime/shared-buffers.ts';
import { assertHeld, BlobReader, type SegmentPlace } from '../../storage/blob-reader.ts';
import type { BlobStore, SegmentWriter } from '../../storage/blob-store.ts';
import { BlobDigest, type ParkedDigests } from '../digest/blob-digest.ts';
import type { Digests } from '../digest/digest-stream.ts';
import type { Interruption } from '../../domain/interruption.ts';
import { verifyReplay } from './replay.ts';
import type { UploadProgress, WriterLease } from '../lease/writer-lease.ts';

/** Of so many first bytes a copy is kept: the heads of most formats, or all of a small image. */
const headBytes = 64 * 1024;

/** What a blob is written with. */
export interface BlobParts {
  readonly store: BlobStore;
  readonly digests: ParkedDigests;
}

/**
 * The bytes of an upload as its writer has them: those that were committed before, and what it appends
 * to the segment of its lease, digested as they come.
 */
export class GrowingBlob {
  readonly #parts: BlobParts;
  readonly #lease: WriterLease;
  readonly #interruption: Interruption;
  readonly #writer: SegmentWriter;
  /** To compare what comes again, and to look at the format; the digest has a reader of its own, which may be elsewhere. */
  readonly #reader: BlobReader;
  readonly #digestReader: BlobReader;
  readonly #digest: BlobDigest;
  #length: number;
  #segmentStoredBytes: number;
  /** The first bytes, if they came in one piece: what looks at them need not have them read from the store. */
  #head: Uint8Array = new Uint8Array();
  /** The write under way. Never rejects. */
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(
    parts: BlobParts,
    lease: WriterLease,
    interruption: Interruption,
    writer: SegmentWriter,
  ) {
    this.#parts = parts;
    this.#lease = lease;
    this.#interruption = interruption;
    this.#writer = writer;
    this.#length = lease.committedSize;
    this.#segmentStoredBytes = lease.segment.storedBytes;
    this.#reader = new BlobReader(parts.store, lease.earlier);
    this.#digestReader = new BlobReader(parts.store, lease.earlier, { use: 'digesting' });
    this.#showToReaders();
    const { stream, position } = parts.digests.take(lease.blobId, lease.committedSize, {
      sha512: lease.expectedSha512 !== null,
    });
    this.#digest = new BlobDigest(stream, this.#digestReader, position, this.#length);
  }

  /**
   * Opens the leased segment, cut back to what is committed of it.
   *
   * @param interruption ends what waits for the disk.
   * @throws a storage error; STORED_BYTES_LOST if committed bytes are not there.
   */
  static async open(
    parts: BlobParts,
    lease: WriterLease,
    interruption: Interruption,
  ): Promise<GrowingBlob> {
    await assertHeld(parts.store, lease.earlier);
    const writer = await parts.store.openWriter(lease.segment.id, lease.segment.length);
    try {
      return new GrowingBlob(parts, lease, interruption, writer);
    } catch (error) {
      await writer.close();
      throw error;
    }
  }

  /** Bytes from the image's start, committed or not. */
  get length(): number {
    return this.#length;
  }

  /** Bytes from the image's start that are digested. */
  get digested(): number {
    return this.#digest.digested;
  }

  /** What a commit records, once all that was appended is durable. */
  get progress(): UploadProgress {
    const { segment, storedBytes } = this.#lease;
    return {
      committedSize: this.#length,
      storedBytes: storedBytes - segment.storedBytes + this.#segmentStoredBytes,
      segmentLength: this.#length - segment.startOffset,
      segmentStoredBytes: this.#segmentStoredBytes,
    };
  }

  /** The segments that have bytes, in order. */
  get segments(): SegmentPlace[] {
    const own = this.#ownSegment();
    return own ? [...this.#lease.earlier, own] : [...this.#lease.earlier];
  }

  /** Appends bytes, which are then to be digested. @throws a storage error, the interruption's. */
  async append(data: Uint8Array): Promise<void> {
    const isFirst = this.#length === 0;
    const { storedBytes } = await this.#write(this.#writer.append(data));
    if (isFirst) {
      const length = Math.min(headBytes, data.byteLength);
      this.#head = Buffer.allocUnsafeSlow(length);
      copyBytes(data, 0, length, this.#head, 0);
    }
    this.#grow(data.byteLength, storedBytes);
  }

  /**
   * Digests bytes that were just appended at `offset`. `data` must not be used afterwards. Resolves when
   * there is room for more.
   *
   * @throws if the digest's thread died.
   */
  digest(offset: number, data: Uint8Array): Promise<void> {
    return this.#digest.take(offset, data);
  }

  /** Appends zeros that take up no room, and are digested by the way. @throws as `append`. */
  async appendHole(length: number): Promise<void> {
    await this.#write(this.#writer.appendHole(length));
    this.#grow(length, 0);
    this.#digest.follow(this.#length);
  }

  /**
   * Compares bytes that came again, or so many zeros, with those that are there.
   *
   * @throws DarkroomError REPLAY_MISMATCH, a storage error, the interruption's.
   */
  async compare(offset: number, sent: Uint8Array | number): Promise<void> {
    await verifyReplay(this.#reader, offset, sent, this.#interruption);
  }

  /** Reads bytes that were appended. @throws a storage error, the interruption's. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset + length <= this.#head.byteLength) {
      return this.#head.subarray(offset, offset + length);
    }
    const data = Buffer.allocUnsafe(length);
    await this.#interruption.race(this.#reader.read(offset, data));
    return data;
  }

  /** Makes all that was appended before the call durable. @throws a storage error. */
  async persist(): Promise<void> {
    await this.#writer.persist();
  }

  /** Says that nothing more is to come: all is durable. @throws a storage error. */
  async complete(): Promise<void> {
    for (const { id, length } of this.#lease.earlier) {
      await this.#parts.store.complete(id, length);
    }
    if (this.#ownSegment() !== undefined) {
      await this.#writer.complete();
    }
  }

  /** The digests of all bytes. @throws a storage error; if the digest's thread died. */
  digests(): Promise<Digests> {
    return this.#digest.result();
  }

  /** Resolves when no write is under way. Never rejects. */
  async settle(): Promise<void> {
    await this.#writing;
  }

  /** Lets go of the segments, once what is under way has ended. Never rejects. */
  async close(): Promise<void> {
    await Promise.all([this.#writer.close(), this.#reader.close()]);
  }

  /** Keeps the digest for who goes on with the upload, if no more than the committed bytes are in it. Never rejects. */
  async parkDigest(committedSize: number): Promise<void> {
    const { stream, position } = await this.#digest.release();
    this.#parts.digests.park(this.#lease.blobId, stream, position, committedSize);
  }

  /** Never rejects. */
  async dropDigest(): Promise<void> {
    (await this.#digest.release()).stream.close();
  }

  /** A write cannot be called back: when its session is interrupted, it goes on by itself. */
  #write<T>(write: Promise<T>): Promise<T> {
    this.#writing = write.catch(() => {});
    return this.#interruption.race(write);
  }

  #grow(bytes: number, storedBytes: number): void {
    this.#length += bytes;
    this.#segmentStoredBytes += storedBytes;
    this.#showToReaders();
  }

  #showToReaders(): void {
    const own = this.#ownSegment();
    if (own) {
      this.#reader.extend(own, this.#writer);
      this.#digestReader.extend(own, this.#writer);
    }
  }

  /** The segment that is written, with what was appended; undefined while that is nothing. */
  #ownSegment(): SegmentPlace | undefined {
    const { id, startOffset } = this.#lease.segment;
    const length = this.#length - startOffset;
    return length > 0 ? { id, startOffset, length } : undefined;
  }
}
