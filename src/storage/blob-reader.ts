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

/** A segment that is open, and how many read it just now. */
interface OpenSegment {
  readonly reader: SegmentReader;
  reads: number;
  /** Another one took its place: it is closed when nobody reads it any more. */
  isStale: boolean;
}

/**
 * Reads a blob, which is the ordered list of its segments' committed prefixes. Reads may be asked for, and are done, at the
 * same time.
 */
export class BlobReader {
  readonly #store: BlobStore;
  readonly #segments: SegmentPlace[];
  readonly #maxOpen: number;
  readonly #use: SegmentUse;
  /** Those used last are last. */
  readonly #open = new Map<SegmentId, OpenSegment>();
  /** Reads the last segment while it grows; its writer, who closes it. */
  #growing: { readonly id: SegmentId; readonly reader: SegmentReader } | undefined;
  /** Segments are opened one after the other, so that none is opened twice. */
  #lastTurn: Promise<unknown> = Promise.resolve();
  /** Reads that are under way. */
  readonly #reading = new Set<Promise<void>>();
  readonly #closing = new Set<Promise<void>>();
  #isClosed = false;

  /**
   * @param segments those with bytes, in order without gaps from offset 0.
   * @param options.maxOpen how many segments may be open at the same time, besides those that are being read.
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
    return this.#counted(async () => {
      const within = this.#segments.filter(
        ({ startOffset, length }) => startOffset < end && startOffset + length > start,
      );
      for (const { id } of within.slice(0, this.#maxOpen)) {
        this.#leave(await this.#enter(id));
      }
    });
  }

  /**
   * Fills `target` with the bytes at `offset`.
   *
   * @throws DarkroomError STORED_BYTES_LOST if the store does not hold them all, or a storage error.
   */
  read(offset: number, target: Uint8Array): Promise<void> {
    return this.#counted(() => this.#read(offset, target));
  }

  /** Lets go of the segments once the reads under way have ended. Never throws. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#reading);
    for (const segment of this.#open.values()) {
      this.#close(segment);
    }
    this.#open.clear();
    await Promise.all(this.#closing);
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
      const read = await this.#readSegment(
        segment.id,
        inSegment,
        target.subarray(filled, filled + wanted),
      );
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

  async #readSegment(id: SegmentId, offset: number, target: Uint8Array): Promise<number> {
    if (this.#growing?.id === id) {
      return this.#growing.reader.read(offset, target);
    }
    const segment = await this.#enter(id);
    try {
      return await segment.reader.read(offset, target);
    } finally {
      this.#leave(segment);
    }
  }

  /** Opens a segment, if it is not open, and counts one who reads it, until `#leave`. */
  #enter(id: SegmentId): Promise<OpenSegment> {
    const turn = this.#lastTurn.then(async () => {
      const segment = this.#open.get(id) ?? {
        reader: await this.#store.openReader(id, this.#use),
        reads: 0,
        isStale: false,
      };
      segment.reads += 1;
      this.#open.delete(id);
      this.#open.set(id, segment);
      this.#closeOldest();
      return segment;
    });
    this.#lastTurn = turn.catch(() => {});
    return turn;
  }

  #leave(segment: OpenSegment): void {
    segment.reads -= 1;
    if (segment.isStale && segment.reads === 0) {
      this.#close(segment);
    }
  }

  #closeOldest(): void {
    for (const [oldest, segment] of this.#open) {
      if (this.#open.size <= this.#maxOpen) {
        break;
      }
      this.#open.delete(oldest);
      segment.isStale = true;
      if (segment.reads === 0) {
        this.#close(segment);
      }
    }
  }

  #close({ reader }: OpenSegment): void {
    const closing = reader.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  async #counted(work: () => Promise<void>): Promise<void> {
    if (this.#isClosed) {
      throw new Error('the reader was closed');
    }
    const reading = work();
    this.#reading.add(reading);
    try {
      await reading;
    } finally {
      this.#reading.delete(reading);
    }
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
