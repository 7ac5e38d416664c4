import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import { newId, type SegmentId } from '../../src/records/ids.ts';
import type { BlobStore, SegmentWriter } from '../../src/storage/blob-store.ts';
import { pageBytes } from '../../src/storage/zero-run.ts';

/** Bytes that are not zero and differ from place to place. */
export function patterned(length: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => 1 + ((index * 31 + seed) % 255));
}

/** What a call fails with; one that succeeds, or fails with another error, fails the test. */
export async function darkroomErrorOf(call: Promise<unknown>): Promise<DarkroomError> {
  const error = await call.then(
    () => expect.unreachable('the call should have failed'),
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(DarkroomError);
  return error as DarkroomError;
}

/** All bytes that a store holds of a segment. */
export async function readSegment(store: BlobStore, id: SegmentId): Promise<Buffer> {
  const reader = await store.openReader(id);
  try {
    const target = Buffer.alloc(((await store.heldBytes(id)) ?? 0) + 1, 0xee);
    const read = await reader.read(0, target);
    return target.subarray(0, read);
  } finally {
    await reader.close();
  }
}

/** Opens a writer for the time of `work`, makes durable what it appended, and closes it. */
export async function writing<T>(
  store: BlobStore,
  id: SegmentId,
  length: number,
  work: (writer: SegmentWriter) => Promise<T>,
): Promise<T> {
  const writer = await store.openWriter(id, length);
  try {
    const result = await work(writer);
    await writer.persist();
    return result;
  } finally {
    await writer.close();
  }
}

async function listed(store: BlobStore): Promise<SegmentId[]> {
  return (await Array.fromAsync(store.list())).toSorted();
}

/** Appends of one opening of a segment, which keeps a part of what it held before. */
const opening = fc.record({
  /** How much of what is there is kept, from 0 to 1. */
  keep: fc.constantFrom(0, 0.5, 0.99, 1, 1),
  steps: fc.array(
    fc.record({
      kind: fc.constantFrom('data', 'data', 'zeros', 'hole', 'persist'),
      length: fc.oneof(
        fc.nat({ max: 50 }),
        fc.integer({ min: pageBytes - 1, max: pageBytes + 1 }),
        fc.nat({ max: 5 * pageBytes }),
      ),
    }),
    { maxLength: 5 },
  ),
});

/** What every blob store does. `openStore` gives a new, empty one that cleans up after itself. */
export function describeBlobStore(name: string, openStore: () => Promise<BlobStore>): void {
  describe(`${name} as a blob store`, () => {
    test('gives back what was appended, holes and runs of zeros included', async () => {
      const store = await openStore();
      const id = newId<SegmentId>();
      const data = patterned(10_000);
      await writing(store, id, 0, async (writer) => {
        expect(await writer.append(data)).toEqual({ storedBytes: 10_000 });
        await writer.appendHole(50_000);
        expect(await writer.append(new Uint8Array(5 * pageBytes))).toMatchObject({
          storedBytes: expect.toSatisfy((bytes: number) => bytes <= pageBytes),
        });
        await writer.append(data);
        expect(writer.length).toBe(70_000 + 5 * pageBytes);
      });
      expect(await readSegment(store, id)).toEqual(
        Buffer.concat([data, Buffer.alloc(50_000 + 5 * pageBytes), data]),
      );
    });

    test('fills what it can of a read that goes beyond the end', async () => {
      const store = await openStore();
      const id = newId<SegmentId>();
      await writing(store, id, 0, (writer) => writer.append(patterned(100)));
      const reader = await store.openReader(id);
      const target = Buffer.alloc(20);
      expect(await reader.read(90, target)).toBe(10);
      expect(target.subarray(0, 10)).toEqual(Buffer.from(patterned(100).subarray(90)));
      expect(await reader.read(100, target)).toBe(0);
      expect(await reader.read(1000, target)).toBe(0);
      await reader.close();
    });

    test('lets a writer read what it appended, before it is durable and beside appends', async () => {
      const store = await openStore();
      const id = newId<SegmentId>();
      await writing(store, id, 0, (writer) => writer.append(patterned(1000)));
      await writing(store, id, 1000, async (writer) => {
        await writer.appendHole(20_000);
        await writer.append(patterned(500, 7));
        const target = Buffer.alloc(30_000, 0xee);
        const [read] = await Promise.all([
          writer.read(0, target.subarray(0, 21_500)),
          writer.append(patterned(100_000, 9)),
          writer.persist(),
        ]);
        expect(read).toBe(21_500);
        expect(target.subarray(0, 21_500)).toEqual(
          Buffer.concat([patterned(1000), Buffer.alloc(20_000), patterned(500, 7)]),
        );
        expect(await writer.read(121_490, target.subarray(0, 20))).toBe(10);
      });
    });

    test('cuts off what is beyond the length a writer goes on from', async () => {
      const store = await openStore();
      const id = newId<SegmentId>();
      await writing(store, id, 0, (writer) => writer.append(patterned(50_000)));
      await writing(store, id, 1000, async (writer) => {
        expect(writer.length).toBe(1000);
        expect(await store.heldBytes(id)).toBe(1000);
        await writer.appendHole(20_000);
        await writer.append(patterned(5, 7));
      });
      expect(await readSegment(store, id)).toEqual(
        Buffer.concat([patterned(1000), Buffer.alloc(20_000), patterned(5, 7)]),
      );
    });

    test('says that a segment it does not hold is lost', async () => {
      const store = await openStore();
      const id = newId<SegmentId>();
      const calls = [
        () => store.openReader(id),
        () => store.openWriter(id, 1),
        () => store.complete(id, 1),
      ];
      for (const call of calls) {
        expect(await darkroomErrorOf(call())).toMatchObject({ reason: 'STORED_BYTES_LOST' });
      }
      expect(await store.heldBytes(id)).toBeUndefined();
      expect(await listed(store)).toEqual([]);
    });

    test('says that a segment shorter than it must be is lost, and leaves it as it is', async () => {
      const store = await openStore();
      const id = newId<SegmentId>();
      await writing(store, id, 0, (writer) => writer.append(patterned(100)));
      for (const call of [() => store.openWriter(id, 101), () => store.complete(id, 101)]) {
        expect(await darkroomErrorOf(call())).toMatchObject({ reason: 'STORED_BYTES_LOST' });
      }
      expect(await readSegment(store, id)).toEqual(Buffer.from(patterned(100)));
    });

    test('persists beside appends', async () => {
      const store = await openStore();
      const id = newId<SegmentId>();
      await writing(store, id, 0, async (writer) => {
        const persisted: Promise<void>[] = [];
        for (let turn = 0; turn < 8; turn++) {
          const appended = writer.append(patterned(3000, turn));
          persisted.push(writer.persist());
          await appended;
          await writer.appendHole(5000);
        }
        await Promise.all(persisted);
      });
      const turns = Array.from({ length: 8 }, (_, turn) => [
        patterned(3000, turn),
        Buffer.alloc(5000),
      ]);
      expect(await readSegment(store, id)).toEqual(Buffer.concat(turns.flat()));
    });

    test('completes a segment at its length, once or twice', async () => {
      const store = await openStore();
      const id = newId<SegmentId>();
      await writing(store, id, 0, (writer) => writer.append(patterned(5000)));
      await store.complete(id, 4000);
      await store.complete(id, 4000);
      expect(await readSegment(store, id)).toEqual(Buffer.from(patterned(4000)));
    });

    test('completes a segment by its writer, once or twice, and goes on with it all the same', async () => {
      const store = await openStore();
      const id = newId<SegmentId>();
      await writing(store, id, 0, async (writer) => {
        await writer.append(patterned(5000));
        await writer.persist();
        await writer.complete();
        await writer.complete();
      });
      expect(await readSegment(store, id)).toEqual(Buffer.from(patterned(5000)));
      await writing(store, id, 4000, async (writer) => {
        await writer.append(patterned(100, 7));
        await writer.persist();
        await writer.complete();
      });
      const expected = Buffer.concat([patterned(4000), patterned(100, 7)]);
      expect(await readSegment(store, id)).toEqual(expected);
    });

    test('does not complete a segment that was removed meanwhile', async () => {
      const store = await openStore();
      const id = newId<SegmentId>();
      const writer = await store.openWriter(id, 0);
      await writer.append(patterned(10));
      await writer.persist();
      await store.remove(id);
      expect((await darkroomErrorOf(writer.complete())).reason).toMatch(/^STORAGE_|^STORED_/);
      await writer.close();
    });

    test('removes a segment, once or twice, also one that was never there', async () => {
      const store = await openStore();
      const id = newId<SegmentId>();
      await writing(store, id, 0, (writer) => writer.append(patterned(10)));
      await store.complete(id, 10);
      await store.remove(id);
      await store.remove(id);
      expect(await store.heldBytes(id)).toBeUndefined();
    });

    test('goes on reading a segment that is removed meanwhile', async () => {
      const store = await openStore();
      const id = newId<SegmentId>();
      await writing(store, id, 0, (writer) => writer.append(patterned(1000)));
      const reader = await store.openReader(id);
      await store.remove(id);
      const target = Buffer.alloc(1000);
      expect(await reader.read(0, target)).toBe(1000);
      expect(target).toEqual(Buffer.from(patterned(1000)));
      await reader.close();
    });

    test('lists its segments, the empty ones too', async () => {
      const store = await openStore();
      const ids = Array.from({ length: 20 }, () => newId<SegmentId>());
      for (const id of ids) {
        await writing(store, id, 0, async () => {});
      }
      expect(await listed(store)).toEqual(ids.toSorted());
    });

    test('holds what a plain buffer would, after any appends, holes and reopenings', async () => {
      const store = await openStore();
      await fc.assert(
        fc.asyncProperty(fc.array(opening, { minLength: 1, maxLength: 4 }), async (openings) => {
          const id = newId<SegmentId>();
          let model = Buffer.alloc(0);
          for (const { keep, steps } of openings) {
            model = model.subarray(0, Math.floor(model.length * keep));
            await writing(store, id, model.length, async (writer) => {
              for (const { kind, length } of steps) {
                if (kind === 'persist') {
                  await writer.persist();
                  continue;
                }
                const data =
                  kind === 'data' ? patterned(length, model.length) : Buffer.alloc(length);
                await (kind === 'hole' ? writer.appendHole(length) : writer.append(data));
                model = Buffer.concat([model, data]);
                expect(writer.length).toBe(model.length);
              }
            });
            expect(await store.heldBytes(id)).toBe(model.length);
          }
          expect((await readSegment(store, id)).equals(model)).toBe(true);
        }),
        { numRuns: 60 },
      );
    });

    test('can be reached', async () => {
      const store = await openStore();
      await expect(store.check()).resolves.toBeUndefined();
    });
  });
}
