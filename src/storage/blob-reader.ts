import { DarkroomError } from '../domain/darkroom-error.ts';
import type { SegmentId } from '../domain/ids.ts';
import type { BlobStore, SegmentReader } from './blob-store.ts';
import { storedBytesLost } from './storage-error.ts';

/** A segment's place in a blob. */
export interface SegmentPlace {
  readonly id: SegmentId;
  /** Bytes from the blob's start. */
  readonly startOffset: number;
  /** Bytes of the segment that count. */
  readonly length: number;
}

/**
 * Reads a blob, which is the ordered list of its segments' committed prefixes. One read at a time: a
 * reader keeps one segment open.
 */
export class BlobReader {
  readonly #store: BlobStore;
  readonly #segments: SegmentPlace[];
  #open: { readonly id: SegmentId; readonly reader: SegmentReader } | undefined;

  /** @param segments those with bytes, in order without gaps from offset 0. */
  constructor(store: BlobStore, segments: readonly SegmentPlace[]) {
    this.#store = store;
    this.#segments = [...segments];
  }

  /** Says that the last segment, which is still being written, has grown or was begun. */
  extend(last: SegmentPlace): void {
    if (this.#segments.at(-1)?.id === last.id) {
      this.#segments.pop();
    }
    this.#segments.push(last);
  }

  /**
   * Fills `target` with the bytes at `offset`.
   *
   * @throws DarkroomError STORED_BYTES_LOST if the store does not hold them all, or a storage error.
   */
  async read(offset: number, target: Uint8Array): Promise<void> {
    let filled = 0;
    while (filled < target.byteLength) {
      const position = offset + filled;
      const segment = this.#segments.find(
        ({ startOffset, length }) => position >= startOffset && position < startOffset + length,
      );
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

  /** Never throws. */
  async close(): Promise<void> {
    await this.#open?.reader.close();
    this.#open = undefined;
  }

  async #reader(id: SegmentId): Promise<SegmentReader> {
    if (this.#open?.id !== id) {
      await this.close();
      this.#open = { id, reader: await this.#store.openReader(id) };
    }
    return this.#open.reader;
  }
}

/** @throws DarkroomError STORED_BYTES_LOST unless the store holds all bytes of all segments. */
export async function assertHeld(
  store: BlobStore,
  segments: readonly SegmentPlace[],
): Promise<void> {
  for (const { id, length } of segments) {
    const held = (await store.size(id)) ?? 0;
    if (held < length) {
      throw storedBytesLost(id, held, length);
    }
  }
}
