import type { SegmentId } from '../records/ids.ts';

/** How much room one append took. */
export interface AppendOutcome {
  /** Bytes that take up room in the store; the rest became holes. */
  readonly storedBytes: number;
}

/** What a segment is opened for: `digesting` reads all of it, once and in order, so that it need not be kept in memory. */
export type SegmentUse = 'reading' | 'digesting';

/** Reads a segment. */
export interface SegmentReader {
  /**
   * Fills `target` with the bytes at `offset`, holes as zeros; fewer only at the end of the segment.
   * Answers how many.
   */
  read(offset: number, target: Uint8Array): Promise<number>;
  /** Lets go of the segment. Never throws. */
  close(): Promise<void>;
}

/**
 * The one writer of a segment, which appends to it. `append` and `appendHole` are called one at a time;
 * `persist` and `read` may run beside them.
 */
export interface SegmentWriter extends SegmentReader {
  /** Bytes of the segment so far, holes included. */
  readonly length: number;
  /**
   * Appends bytes; 4 KiB-aligned runs of zeros may become holes. `data` must not change until the promise
   * settles, and is the caller's again then.
   *
   * @throws DarkroomError STORAGE_FULL or STORAGE_UNAVAILABLE; the segment then ends where it ended before.
   */
  append(data: Uint8Array): Promise<AppendOutcome>;
  /** Appends `length` zeros that take up no room. @throws as `append`. */
  appendHole(length: number): Promise<void>;
  /**
   * Makes all that was appended before the call durable: from then on `openWriter` can go on after it and
   * `openReader` reads it, in any process, whatever becomes of this one. @throws as `append`.
   */
  persist(): Promise<void>;
  /**
   * As any reader, and what was appended but is not durable yet as well: it is what a digest that fell
   * behind and a comparison read. Nobody else can be promised those bytes.
   */
  read(offset: number, target: Uint8Array): Promise<number>;
  /**
   * Says that nothing more is to come, as `BlobStore.complete` does: the segment is what was appended, all of which is
   * durable already. @throws DarkroomError STORED_BYTES_LOST if it is not all there; as `append`.
   */
  complete(): Promise<void>;
  /** Lets go of the segment without making anything durable. Never throws. */
  close(): Promise<void>;
}

/**
 * Where the bytes are. A store knows segments only: byte strings that grow at their end, named by an
 * id. Which of them make up an image, and how much of each counts, is the database's to say: a store may
 * hold more of a segment than counts, never less.
 *
 * Every method throws DarkroomError STORAGE_FULL, STORAGE_UNAVAILABLE or STORED_BYTES_LOST, and
 * nothing else. What every store must do is in test/storage/blob-store-contract.ts.
 */
export interface BlobStore {
  /**
   * Goes on with a segment after its first `length` bytes, which were made durable, and begins it if `length`
   * is 0 and it is not there. What it holds beyond them never counted, and is given up. A segment that was begun is
   * listed at the latest once `persist` was called.
   *
   * @throws DarkroomError STORED_BYTES_LOST if it holds fewer than `length` bytes.
   */
  openWriter(id: SegmentId, length: number): Promise<SegmentWriter>;
  /**
   * Opens a segment for reading: all that was made durable of it, whether it is complete or another process goes on
   * with it. Goes on reading even when the segment is removed.
   *
   * @param use `reading` if not said.
   * @throws DarkroomError STORED_BYTES_LOST if it is not there.
   */
  openReader(id: SegmentId, use?: SegmentUse): Promise<SegmentReader>;
  /**
   * How many bytes from its start the store holds of a segment, at least those that were made durable;
   * undefined if it is not there.
   */
  heldBytes(id: SegmentId): Promise<number | undefined>;
  /**
   * Says that nothing more is to come: the segment is its first `length` bytes, which are durable already. What it
   * holds beyond them is given up, and a store may now bring it into the form that serves readers best, or protect
   * it. `openWriter` must go on with it all the same, for the publication may not come about. Harmless to repeat.
   *
   * @throws DarkroomError STORED_BYTES_LOST if it holds fewer than `length` bytes.
   */
  complete(id: SegmentId, length: number): Promise<void>;
  /** Removes a segment; one that is not there is no error. */
  remove(id: SegmentId): Promise<void>;
  /** All segments of the store, in no order. */
  list(): AsyncIterable<SegmentId>;
  /** Throws unless the store can be reached just now. */
  check(): Promise<void>;
}
