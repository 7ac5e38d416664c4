import type { SegmentId } from '../domain/ids.ts';

/** A run of bytes of a segment: data that takes up room, or a hole that reads as zeros. */
export interface SegmentExtent {
  readonly kind: 'data' | 'hole';
  /** Bytes from the segment's start. */
  readonly offset: number;
  /** Bytes; at least 1. */
  readonly length: number;
}

/** How much one write took up. */
export interface WriteOutcome {
  /** Bytes that take up room; the rest became holes. */
  readonly storedBytes: number;
}

/**
 * An open segment that one writer appends to. Not safe for concurrent calls, but for `sync`, which
 * may run beside `append` and then covers what was appended before it was called.
 */
export interface SegmentWriter {
  /** Bytes appended so far, holes included. */
  readonly length: number;
  /**
   * Appends bytes. Runs of zeros may become holes. `data` must not change until the promise settles.
   *
   * @throws DarkroomError STORAGE_FULL or STORAGE_UNAVAILABLE; the segment then ends where it ended before.
   */
  append(data: Uint8Array): Promise<WriteOutcome>;
  /** Appends `length` zeros that take up no room. @throws as `append`. */
  appendHole(length: number): Promise<void>;
  /** Makes all that was appended before the call durable. @throws as `append`. */
  sync(): Promise<void>;
  /** Lets go of the segment without making anything durable. Never throws. */
  close(): Promise<void>;
}

/**
 * Where the bytes are. A store knows segments only: byte strings that grow at their end, named by an
 * id. Which of them make up an image, and how much of each counts, is the database's to say.
 *
 * Every method throws DarkroomError STORAGE_FULL, STORAGE_UNAVAILABLE or STORED_BYTES_LOST, and
 * nothing else.
 */
export interface BlobStore {
  /**
   * Opens a segment for appending after its first `length` bytes, creating it if it is not there; what
   * it holds beyond them is cut off. The segment's existence is durable once the first `sync` is.
   *
   * @throws DarkroomError STORED_BYTES_LOST if it holds fewer than `length` bytes.
   */
  openWriter(id: SegmentId, length: number): Promise<SegmentWriter>;
  /**
   * Reads up to `target.byteLength` bytes at `offset` into `target`, fewer only at the end of the
   * segment; holes read as zeros. Answers how many.
   */
  read(id: SegmentId, offset: number, target: Uint8Array): Promise<number>;
  /** The extents of the segment's bytes from `offset` to `offset + length`, in order without gaps. */
  extents(id: SegmentId, offset: number, length: number): AsyncIterable<SegmentExtent>;
  /** How many bytes the store holds of a segment; undefined if it is not there. */
  size(id: SegmentId): Promise<number | undefined>;
  /** Cuts a segment to `length` bytes and makes it durable and read-only. */
  seal(id: SegmentId, length: number): Promise<void>;
  /** Removes a segment; one that is not there is no error. */
  remove(id: SegmentId): Promise<void>;
  /** All segments of the store, in no order. */
  list(): AsyncIterable<SegmentId>;
  /** Throws unless the store can be written to just now. */
  check(): Promise<void>;
}
