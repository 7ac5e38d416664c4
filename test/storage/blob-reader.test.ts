import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import { newId, type SegmentId } from '../../src/records/ids.ts';
import { assertHeld, BlobReader, type SegmentPlace } from '../../src/storage/blob-reader.ts';
import type { BlobStore, SegmentReader } from '../../src/storage/blob-store.ts';

const data = randomBytes(10_000);

/** Segments of 1,000 bytes in memory, whose readers notice when they are used wrongly. */
class WatchedStore {
  readonly segments: SegmentPlace[] = Array.from({ length: 10 }, (_, i) => ({
    id: newId<SegmentId>(),
    startOffset: i * 1000,
    length: 1000,
  }));
  /** Readers that are open. */
  open = 0;
  mostOpen = 0;
  opened = 0;
  readonly removed = new Set<SegmentId>();

  readonly store = {
    openReader: async (id: SegmentId): Promise<SegmentReader> => {
      await Promise.resolve();
      if (this.removed.has(id)) {
        throw new DarkroomError('STORED_BYTES_LOST', 'removed');
      }
      const { startOffset, length } = this.segments.find((segment) => segment.id === id)!;
      let isOpen = true;
      this.opened += 1;
      this.open += 1;
      this.mostOpen = Math.max(this.mostOpen, this.open);
      return {
        read: async (offset, target) => {
          expect(isOpen).toBe(true);
          await new Promise(setImmediate);
          expect(isOpen).toBe(true);
          const bytes = data.subarray(startOffset, startOffset + length);
          return bytes.copy(target, 0, offset);
        },
        close: async () => {
          expect(isOpen).toBe(true);
          isOpen = false;
          this.open -= 1;
        },
      };
    },
    heldBytes: async (id: SegmentId) => (this.removed.has(id) ? undefined : 1000),
  } as unknown as BlobStore;
}

async function expectRead(reader: BlobReader, offset: number, length: number): Promise<void> {
  const target = Buffer.alloc(length);
  await reader.read(offset, target);
  expect(target.equals(data.subarray(offset, offset + length))).toBe(true);
}

test('reads go over the edges of segments', async () => {
  const { store, segments } = new WatchedStore();
  const reader = new BlobReader(store, segments);
  await expectRead(reader, 0, 10_000);
  await expectRead(reader, 999, 2);
  await expectRead(reader, 5000, 1000);
  await expectRead(reader, 9999, 1);
  await reader.close();
});

test('reads at the same time do not close each other’s segments, and none stays open', async () => {
  const watched = new WatchedStore();
  const reader = new BlobReader(watched.store, watched.segments);
  const readAll = async (first: number): Promise<void> => {
    for (let i = first; i < 60; i += 3) {
      await expectRead(reader, (i * 3331) % 9000, 1000);
    }
  };
  await Promise.all([readAll(0), readAll(1), readAll(2)]);
  // Two, and those that the three read just now.
  expect(watched.mostOpen).toBeLessThanOrEqual(5);
  await reader.close();
  await reader.close();
  expect(watched.open).toBe(0);
});

test('a segment is opened once for all who read it at the same time', async () => {
  const watched = new WatchedStore();
  const reader = new BlobReader(watched.store, watched.segments);
  await Promise.all(Array.from({ length: 10 }, (_, i) => expectRead(reader, i * 100, 100)));
  expect(watched.opened).toBe(1);
  await reader.close();
  expect(watched.open).toBe(0);
});

test('closing waits for the reads under way, and nothing is read afterwards', async () => {
  const watched = new WatchedStore();
  const reader = new BlobReader(watched.store, watched.segments);
  const reads = [expectRead(reader, 0, 2000), expectRead(reader, 5000, 1)];
  await Promise.resolve();
  await reader.close();
  expect(watched.open).toBe(0);
  await Promise.all(reads);
  await expect(reader.read(0, Buffer.alloc(1))).rejects.toThrow('closed');
  expect(watched.open).toBe(0);
});

test('what was opened is read on although it is removed', async () => {
  const watched = new WatchedStore();
  const reader = new BlobReader(watched.store, watched.segments, { maxOpen: 4 });
  await reader.open(1500, 4000);
  expect(watched.opened).toBe(3);
  for (const { id } of watched.segments) {
    watched.removed.add(id);
  }
  await expectRead(reader, 1000, 3000);
  await expect(reader.read(4000, Buffer.alloc(1))).rejects.toMatchObject({
    reason: 'STORED_BYTES_LOST',
  });
  await reader.close();
});

test('a segment that grows is read as far as it is said to be', async () => {
  const watched = new WatchedStore();
  const [first, second] = watched.segments as [SegmentPlace, SegmentPlace];
  const reader = new BlobReader(watched.store, [first]);
  await expect(reader.read(1000, Buffer.alloc(1))).rejects.toMatchObject({
    reason: 'STORED_BYTES_LOST',
  });
  const writer = await watched.store.openReader(second.id);
  reader.extend({ ...second, length: 10 }, writer);
  await expectRead(reader, 990, 20);
  await expect(reader.read(1009, Buffer.alloc(2))).rejects.toMatchObject({
    reason: 'STORED_BYTES_LOST',
  });
  reader.extend({ ...second, length: 20 }, writer);
  await expectRead(reader, 990, 30);
  await reader.close();
  // Its writer's, who goes on.
  expect(watched.open).toBe(1);
  await writer.close();
});

test('a store that holds less than it should is found out', async () => {
  const watched = new WatchedStore();
  await assertHeld(watched.store, watched.segments);
  watched.removed.add(watched.segments[7]!.id);
  await expect(assertHeld(watched.store, watched.segments)).rejects.toMatchObject({
    reason: 'STORED_BYTES_LOST',
  });
  const [first] = watched.segments as [SegmentPlace];
  await expect(assertHeld(watched.store, [{ ...first, length: 1001 }])).rejects.toMatchObject({
    reason: 'STORED_BYTES_LOST',
  });
});
