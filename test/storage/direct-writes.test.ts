import { constants } from 'node:fs';
import { mkdtemp, open, readFile, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { giveBack, isInPages, takeBuffer } from '../../src/runtime/shared-buffers.ts';
import { FileBlobStore } from '../../src/storage/file-blob-store.ts';
import { FilePastCache } from '../../src/storage/file-past-cache.ts';
import { FileSegmentWriter } from '../../src/storage/file-segment-writer.ts';
import { readFully } from '../../src/storage/read-fully.ts';
import { newId, type SegmentId } from '../../src/records/ids.ts';
import {
  darkroomErrorOf,
  patterned as patternOf,
  readSegment,
  writing,
} from './blob-store-contract.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const page = 4096;

/** What other files of this worker have left of the memory in pages is had again once it was collected. */
beforeAll(async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  await vi.waitFor(() => {
    collect();
    const buffers = Array.from({ length: 8 }, () => takeBuffer(MiB));
    buffers.forEach(giveBack);
    expect(buffers.every(isInPages)).toBe(true);
  }, 60_000);
});

/** Bytes that are not zero, and differ from those of another seed. */
function patterned(length: number, seed = 0): Buffer<ArrayBuffer> {
  return Buffer.alloc(length, patternOf(1009, seed));
}

/** A write or a read, as a file was asked for it. */
interface AskedMove {
  readonly length: number;
  readonly at: number;
}

/** Stands before a file handle: what is asked of `write` and `read` is noted in `asked`, and it may do something else. */
function watched(
  file: FileHandle,
  asked: AskedMove[],
  instead: (asked: AskedMove) => Error | number | undefined = () => undefined,
): FileHandle {
  return new Proxy(file, {
    get(target, property) {
      if (property === 'write' || property === 'read') {
        return async (data: Uint8Array, start: number, length: number, at: number) => {
          asked.push({ length, at });
          const found = instead({ length, at });
          if (found instanceof Error) {
            throw found;
          }
          return property === 'write'
            ? target.write(data, start, found ?? length, at)
            : target.read(data, start, found ?? length, at);
        };
      }
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function errno(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** A writer on a real file, and what was written through the page cache and past it. */
async function openWriter(instead?: (asked: AskedMove) => Error | number | undefined): Promise<{
  writer: FileSegmentWriter;
  path: string;
  cached: AskedMove[];
  direct: AskedMove[];
}> {
  const folder = await mkdtemp(join(tmpdir(), 'darkroom-direct-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'file');
  const cached: AskedMove[] = [];
  const file = await open(path, constants.O_RDWR | constants.O_CREAT);
  const direct: AskedMove[] = [];
  const writer = new FileSegmentWriter(watched(file, cached), 0, {
    id: newId<SegmentId>(),
    path,
    syncName: () => Promise.resolve(),
    openDirect: async () => {
      const past = await open(path, constants.O_RDWR | constants.O_DIRECT);
      return watched(past, direct, instead);
    },
  });
  onTestFinished(() => writer.close());
  return { writer, path, cached, direct };
}

/** Bytes in memory that begins with a page, after `lead` of them. */
function inPages(bytes: Uint8Array, lead = 0): Uint8Array {
  const data = takeBuffer(bytes.byteLength + lead, lead);
  data.set(bytes, lead);
  onTestFinished(() => giveBack(data));
  return data.subarray(lead);
}

test('a chunk that lies in the file as in memory goes past the page cache, whatever stands before it in its message', async () => {
  const { writer, path, cached, direct } = await openWriter();
  await writer.append(inPages(patterned(MiB), 13));
  await writer.append(inPages(patterned(MiB, 1), 14));
  expect(cached).toEqual([]);
  expect(direct).toEqual([
    { length: MiB, at: 0 },
    { length: MiB, at: MiB },
  ]);
  await writer.persist();
  expect(await readFile(path)).toEqual(Buffer.concat([patterned(MiB), patterned(MiB, 1)]));
});

test('the pieces of a page around whole ones go through the cache', async () => {
  const { writer, path, cached, direct } = await openWriter();
  const begin = patterned(1000);
  const rest = patterned(MiB, 7);
  await writer.append(begin);
  // Its byte at 1000 lies at 1000 of a page.
  const memory = inPages(Buffer.concat([begin, rest]));
  await writer.append(memory.subarray(1000));
  expect(direct).toEqual([{ length: MiB - page, at: page }]);
  expect(cached).toEqual([
    { length: 1000, at: 0 },
    { length: page - 1000, at: 1000 },
    { length: 1000, at: MiB },
  ]);
  expect(await readFile(path)).toEqual(Buffer.concat([begin, rest]));
});

test.each<[string, () => Uint8Array]>([
  ['that lies otherwise in memory than in the file', () => inPages(patterned(MiB + 1)).subarray(1)],
  ['in memory of the ordinary kind', () => patterned(MiB)],
  ['of less than 256 KiB', () => inPages(patterned(256 * KiB - page))],
])('data %s goes through the cache', async (_, make) => {
  const { writer, path, cached, direct } = await openWriter();
  const data = make();
  await writer.append(data);
  expect(direct).toEqual([]);
  expect(cached).toEqual([{ length: data.byteLength, at: 0 }]);
  expect(await readFile(path)).toEqual(Buffer.from(data));
});

test('a file system that takes no such write is not asked again, and the bytes go through the cache', async () => {
  const { writer, path, cached, direct } = await openWriter(() => errno('EINVAL'));
  await writer.append(inPages(patterned(MiB)));
  await writer.append(inPages(patterned(MiB)));
  expect(direct).toHaveLength(1);
  expect(cached).toHaveLength(2);
  expect(await readFile(path)).toEqual(Buffer.concat([patterned(MiB), patterned(MiB)]));
});

test.each([
  ['ENOSPC', 'STORAGE_FULL'],
  ['EIO', 'STORAGE_UNAVAILABLE'],
])('%s past the cache fails the append, and nothing of it is left', async (code, reason) => {
  let isBroken = false;
  const { writer, path } = await openWriter(({ at }) =>
    isBroken ? (at === MiB ? 512 * KiB : errno(code)) : undefined,
  );
  await writer.append(inPages(patterned(MiB)));
  isBroken = true;
  expect(await darkroomErrorOf(writer.append(inPages(patterned(MiB, 1))))).toMatchObject({
    reason,
  });
  expect(writer.length).toBe(MiB);
  expect(await readFile(path)).toEqual(patterned(MiB));
  isBroken = false;
  await writer.append(inPages(patterned(MiB, 2)));
  expect(await readFile(path)).toEqual(Buffer.concat([patterned(MiB), patterned(MiB, 2)]));
});

test('a write past the cache that takes a part goes on after it, though that is no whole page', async () => {
  let isFirst = true;
  const { writer, path, direct } = await openWriter(() => {
    const most = isFirst ? page + 512 : undefined;
    isFirst = false;
    return most;
  });
  await writer.append(inPages(patterned(MiB)));
  expect(direct.length).toBeGreaterThan(1);
  expect(await readFile(path)).toEqual(patterned(MiB));
});

/** A file of these bytes, and what was read of it through the page cache and past it. */
async function openFile(
  bytes: Uint8Array,
  instead?: (asked: AskedMove) => Error | number | undefined,
): Promise<{ file: FilePastCache; cached: AskedMove[]; direct: AskedMove[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'darkroom-direct-'));
  const path = join(folder, 'file');
  await writeFile(path, bytes);
  const [cached, direct]: AskedMove[][] = [[], []];
  const file = new FilePastCache(watched(await open(path), cached!), async () =>
    watched(await open(path, constants.O_RDONLY | constants.O_DIRECT), direct!, instead),
  );
  onTestFinished(async () => {
    await file.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { file, cached: cached!, direct: direct! };
}

test('whole pages are read past the page cache into memory that begins with one, the rest through it', async () => {
  const bytes = patterned(MiB + 1000);
  const { file, cached, direct } = await openFile(bytes);
  const target = inPages(new Uint8Array(bytes.length));
  expect(await readFully(file, 0, target)).toBe(bytes.length);
  expect(Buffer.from(target).equals(bytes)).toBe(true);
  expect(direct).toEqual([{ length: MiB, at: 0 }]);
  expect(cached).toEqual([{ length: 1000, at: MiB }]);
});

test('a file that ends sooner than a read past the page cache is read to its end', async () => {
  const bytes = patterned(MiB + 1000);
  const { file } = await openFile(bytes);
  const target = inPages(new Uint8Array(2 * MiB));
  expect(await readFully(file, 0, target)).toBe(bytes.length);
  expect(Buffer.from(target.subarray(0, bytes.length)).equals(bytes)).toBe(true);
});

test('a file system that takes no such read is not asked again, and the bytes come through the cache', async () => {
  const bytes = patterned(2 * MiB);
  const { file, direct } = await openFile(bytes, () => errno('EINVAL'));
  for (const at of [0, MiB]) {
    const target = inPages(new Uint8Array(MiB));
    expect(await readFully(file, at, target)).toBe(MiB);
    expect(Buffer.from(target).equals(bytes.subarray(at, at + MiB))).toBe(true);
  }
  expect(direct).toHaveLength(1);
});

test('a disk that fails a read past the cache fails it', async () => {
  const { file } = await openFile(patterned(MiB), () => errno('EIO'));
  expect(await darkroomErrorOf(readFully(file, 0, inPages(new Uint8Array(MiB))))).toMatchObject({
    reason: 'STORAGE_UNAVAILABLE',
  });
});

test('a writer reads past the cache what it wrote past it, also while more is written', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'darkroom-direct-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const store = await FileBlobStore.open(folder);
  await writing(store, newId<SegmentId>(), 0, async (writer) => {
    for (let turn = 0; turn < 8; turn++) {
      const before = writer.length;
      const appending = writer.append(inPages(patterned(MiB, turn)));
      if (before > 0) {
        const target = inPages(new Uint8Array(MiB));
        expect(await writer.read(before - MiB, target)).toBe(MiB);
        expect(Buffer.from(target).equals(patterned(MiB, turn - 1))).toBe(true);
      }
      await appending;
    }
  });
});

test('whatever is appended, from whatever memory, is what is read, at once and from the file', async () => {
  const piece = fc.record({
    kind: fc.constantFrom('pages', 'ordinary', 'zeros', 'hole'),
    lead: fc.nat({ max: 40 }),
    skipped: fc.constantFrom(0, 0, 1, 512, page),
    length: fc.oneof(
      fc.constantFrom(page, 256 * KiB, 512 * KiB, MiB),
      fc.integer({ min: 1, max: MiB }),
    ),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 8 }), async (pieces) => {
      const { writer, path } = await openWriter();
      const expected: Uint8Array[] = [];
      for (const [seed, { kind, lead, skipped, length }] of pieces.entries()) {
        const bytes = new Uint8Array(length);
        if (kind === 'hole') {
          await writer.appendHole(length);
        } else {
          if (kind !== 'zeros') {
            bytes.set(patterned(length, seed));
            bytes.fill(0, Math.floor(length / 3), Math.floor(length / 2));
          }
          const memory =
            kind === 'ordinary'
              ? bytes.slice()
              : inPages(Buffer.concat([Buffer.alloc(skipped), bytes]), lead).subarray(skipped);
          await writer.append(memory);
          giveBack(memory);
        }
        expected.push(bytes);
        // What was just appended is read through the cache, also where it went past it.
        const read = Buffer.alloc(length);
        expect(await writer.read(writer.length - length, read)).toBe(length);
        expect(read.equals(bytes)).toBe(true);
      }
      await writer.persist();
      expect((await readFile(path)).equals(Buffer.concat(expected))).toBe(true);
      await writer.close();
    }),
    { numRuns: 40 },
  );
});

test.each([true, false])(
  'a store holds what it was given with directWrites %s',
  async (directWrites) => {
    const folder = await mkdtemp(join(tmpdir(), 'darkroom-direct-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const store = await FileBlobStore.open(folder, { directWrites });
    const id = newId<SegmentId>();
    await writing(store, id, 0, async (writer) => {
      await writer.append(inPages(patterned(MiB)));
      await writer.append(inPages(patterned(5000, 3)));
    });
    // Gone on with after what is no whole page.
    await writing(store, id, MiB + 5000, (writer) => writer.append(inPages(patterned(MiB, 4))));
    await store.complete(id, 2 * MiB + 5000);
    const whole = Buffer.concat([patterned(MiB), patterned(5000, 3), patterned(MiB, 4)]);
    expect(await readSegment(store, id)).toEqual(whole);
    const reader = await store.openReader(id, 'digesting');
    const target = inPages(new Uint8Array(whole.length));
    expect(await reader.read(0, target)).toBe(whole.length);
    expect(Buffer.from(target).equals(whole)).toBe(true);
    await reader.close();
  },
);
