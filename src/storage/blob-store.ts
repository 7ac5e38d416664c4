import type { SegmentId } from '../records/ids.ts';

/** How much room one write took. */
export interface WriteOutcome {
  /** Bytes that take up room in the store; the rest became holes. */
  readonly storedBytes: number;
}

/**
 * An open segment that one writer appends to. `append` and `appendHole` are called one at a time;
 * `sync` may run beside them and then covers what was appended before it was called.
 */
export interface SegmentWriter {
  /** Bytes appended so far, holes included. */
  readonly length: number;
  /**
   * Appends bytes; 4 KiB-aligned runs of zeros become holes, unless they shred the data so much that it
   * is better written whole. `data` must not change until the promise settles.
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

/** An open segment that is read. Goes on reading even when the segment is removed. */
export interface SegmentReader {
  /**
   * Fills `target` with the bytes at `offset`, holes as zeros; fewer only at the end of the segment.
   * Answers how many.
   */
  read(offset: number, target: Uint8Array): Promise<number>;
  /** Never throws. */
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
   * Opens a segment for appending after its first `length` bytes, creating it if `length` is 0 and it
   * is not there; what it holds beyond them is cut off. Its existence is durable once the first `sync` is.
   *
   * @throws DarkroomError STORED_BYTES_LOST if it holds fewer than `length` bytes.
   */
  openWriter(id: SegmentId, length: number): Promise<SegmentWriter>;
  /** Opens a segment for reading. @throws DarkroomError STORED_BYTES_LOST if it is not there. */
  openReader(id: SegmentId): Promise<SegmentReader>;
  /** How many bytes the store holds of a segment; undefined if it is not there. */
  size(id: SegmentId): Promise<number | undefined>;
  /**
   * Says that a segment is complete with its first `length` bytes, which are durable already: what it
   * holds beyond them is cut off, and where the store can it is protected from writes. It may still be
   * opened for appending, if the publication for which it was sealed does not come about.
   *
   * @throws DarkroomError STORED_BYTES_LOST if it holds fewer than `length` bytes.
   */
  seal(id: SegmentId, length: number): Promise<void>;
  /** Removes a segment; one that is not there is no error. */
  remove(id: SegmentId): Promise<void>;
  /** All segments of the store, in no order. */
  list(): AsyncIterable<SegmentId>;
  /** Throws unless the store can be reached just now. */
  check(): Promise<void>;
}
