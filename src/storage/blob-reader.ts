import { DarkroomError } from '../domain/darkroom-error.ts';
import type { SegmentId } from '../records/ids.ts';
import type { BlobStore, SegmentReader, SegmentUse } from './blob-store.ts';
import { storedBytesLost } from './storage-error.ts';

/** A segment's place in a blob. */
export interface SegmentPlace {
  readonly id: SegmentId;
  /** Bytes from the blob's start. */
  readonly startOffset: number;
  /** Bytes of the segment that count. */
  readonly length: number;
}

/** How a blob is read. */
export interface BlobReaderOptions {
  readonly maxOpen?: number;
  readonly use?: SegmentUse;
}

/** Segments that a reader keeps open where nothing else is said: reading mostly goes from one to the next. */
const fewOpenSegments = 2;

/**
 * Reads a blob, which is the ordered list of its segments' committed prefixes. Reads may be asked for
 * at the same time, and are done one after the other.
 */
export class BlobReader {
  readonly #store: BlobStore;
  readonly #segments: SegmentPlace[];
  readonly #maxOpen: number;
  readonly #use: SegmentUse;
  /** Those used last are last. */
  readonly #open = new Map<SegmentId, SegmentReader>();
  /** Reads the last segment while it grows; its writer, who closes it. */
  #growing: { readonly id: SegmentId; readonly reader: SegmentReader } | undefined;
  #lastTurn: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  /**
   * @param segments those with bytes, in order without gaps from offset 0.
   * @param options.maxOpen how many segments may be open at the same time.
   */
  constructor(
    store: BlobStore,
    segments: readonly SegmentPlace[],
    { maxOpen = fewOpenSegments, use = 'reading' }: BlobReaderOptions = {},
  ) {
    this.#store = store;
    this.#segments = [...segments];
    this.#maxOpen = maxOpen;
    this.#use = use;
  }

  /**
   * Says that the last segment, which is still being written, has grown or was begun.
   *
   * @param writer reads what it appended, which no other reader can be promised yet.
   */
  extend(last: SegmentPlace, writer: SegmentReader): void {
    this.#growing = { id: last.id, reader: writer };
    if (this.#segments.at(-1)?.id === last.id) {
      this.#segments.pop();
    }
    this.#segments.push(last);
  }

  /**
   * Opens the segments that hold the bytes from `start` to `end`, as many as may be open: these can
   * then be read even when the blob is removed.
   *
   * @throws as `read`.
   */
  open(start: number, end: number): Promise<void> {
    return this.#inTurn(async () => {
      const within = this.#segments.filter(
        ({ startOffset, length }) => startOffset < end && startOffset + length > start,
      );
      for (const { id } of within.slice(0, this.#maxOpen)) {
        await this.#reader(id);
      }
    });
  }

  /**
   * Fills `target` with the bytes at `offset`.
   *
   * @throws DarkroomError STORED_BYTES_LOST if the store does not hold them all, or a storage error.
   */
  read(offset: number, target: Uint8Array): Promise<void> {
    return this.#inTurn(() => this.#read(offset, target));
  }

  /** Lets go of the segments once the reads under way have ended. Never throws. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#lastTurn.catch(() => {});
    await Promise.all([...this.#open.values()].map((reader) => reader.close()));
    this.#open.clear();
  }

  async #read(offset: number, target: Uint8Array): Promise<void> {
    let filled = 0;
    while (filled < target.byteLength) {
      const position = offset + filled;
      const segment = this.#segmentAt(position);
      if (!segment) {
        throw new DarkroomError('STORED_BYTES_LOST', `No segment holds the bytes at ${position}.`);
      }
      const inSegment = position - segment.startOffset;
      const wanted = Math.min(target.byteLength - filled, segment.length - inSegment);
      const reader = await this.#reader(segment.id);
      const read = await reader.read(inSegment, target.subarray(filled, filled + wanted));
      if (read < wanted) {
        throw storedBytesLost(segment.id, inSegment + read, segment.length);
      }
      filled += wanted;
    }
  }

  /** By halves: an upload that broke often has many segments. */
  #segmentAt(position: number): SegmentPlace | undefined {
    let low = 0;
    let high = this.#segments.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const segment = this.#segments[middle];
      if (!segment || position < segment.startOffset) {
        high = middle - 1;
      } else if (position >= segment.startOffset + segment.length) {
        low = middle + 1;
      } else {
        return segment;
      }
    }
    return undefined;
  }

  async #reader(id: SegmentId): Promise<SegmentReader> {
    if (this.#growing?.id === id) {
      return this.#growing.reader;
    }
    const reader = this.#open.get(id) ?? (await this.#store.openReader(id, this.#use));
    this.#open.delete(id);
    this.#open.set(id, reader);
    for (const [oldest, stale] of this.#open) {
      if (this.#open.size <= this.#maxOpen) {
        break;
      }
      this.#open.delete(oldest);
      await stale.close();
    }
    return reader;
  }

  /** One at a time: a read must not close the segment that another one is reading. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#lastTurn.then(() => {
      if (this.#isClosed) {
        throw new Error('the reader was closed');
      }
      return work();
    });
    this.#lastTurn = turn.catch(() => {});
    return turn;
  }
}

/** @throws DarkroomError STORED_BYTES_LOST unless the store holds all bytes of all segments. */
export async function assertHeld(
  store: BlobStore,
  segments: readonly SegmentPlace[],
): Promise<void> {
  for (const { id, length } of segments) {
    const held = (await store.heldBytes(id)) ?? 0;
    if (held < length) {
      throw storedBytesLost(id, held, length);
    }
  }
}
