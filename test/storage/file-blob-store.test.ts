import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { newId, type SegmentId } from '../../src/records/ids.ts';
import { FileBlobStore } from '../../src/storage/file-blob-store.ts';
import {
  darkroomErrorOf,
  describeBlobStore,
  patterned,
  readSegment,
  writing,
} from './blob-store-contract.ts';

const MiB = 1024 * 1024;

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'darkroom-store-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

function fileOf(folder: string, id: SegmentId): string {
  return join(folder, id.slice(-2), id);
}

/** A folder with room for 2 MiB; undefined, and loud, where nothing may be mounted. */
async function smallFolder(): Promise<string | undefined> {
  const folder = await temporaryFolder();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder], { stdio: 'pipe' });
  } catch (error) {
    console.warn('NOT TESTED: a full file system, because none can be mounted here:', error);
    return undefined;
  }
  onTestFinished(() => void execFileSync('umount', ['--lazy', folder]));
  return folder;
}

describeBlobStore('FileBlobStore', async () => FileBlobStore.open(await temporaryFolder()));

test('zeros and holes take up no room on the disk', async () => {
  const folder = await temporaryFolder();
  const store = await FileBlobStore.open(folder);
  const id = newId<SegmentId>();
  const storedBytes = await writing(store, id, 0, async (writer) => {
    await writer.appendHole(100 * MiB);
    const head = await writer.append(patterned(4096));
    const zeros = await writer.append(new Uint8Array(8 * MiB));
    await writer.persist();
    return head.storedBytes + zeros.storedBytes;
  });
  expect(storedBytes).toBe(4096);
  const { size, blocks } = await stat(fileOf(folder, id));
  expect(size).toBe(108 * MiB + 4096);
  expect(blocks * 512).toBeLessThan(MiB / 4);
});

test('a complete segment’s file can only be read', async () => {
  const folder = await temporaryFolder();
  const store = await FileBlobStore.open(folder);
  const id = newId<SegmentId>();
  await writing(store, id, 0, (writer) => writer.append(patterned(10)));
  await store.complete(id, 10);
  expect((await stat(fileOf(folder, id))).mode & 0o777).toBe(0o440);
});

test('what one process wrote, another one that opens the folder finds', async () => {
  const folder = await temporaryFolder();
  const id = newId<SegmentId>();
  await writing(await FileBlobStore.open(folder), id, 0, (writer) => writer.append(patterned(99)));
  const other = await FileBlobStore.open(folder);
  expect(await readSegment(other, id)).toEqual(Buffer.from(patterned(99)));
});

test('a full disk leaves the segment as it was, and appending goes on once there is room', async () => {
  const folder = await smallFolder();
  if (!folder) {
    return;
  }
  const store = await FileBlobStore.open(folder);
  const [id, ballast] = [newId<SegmentId>(), newId<SegmentId>()];
  await writing(store, ballast, 0, (writer) => writer.append(patterned(MiB)));
  await writing(store, id, 0, async (writer) => {
    await writer.append(patterned(10_000));

    const failure = await darkroomErrorOf(writer.append(patterned(2 * MiB, 5)));
    expect(failure).toMatchObject({
      reason: 'STORAGE_FULL',
      retryDelayMs: expect.toSatisfy((delay: number) => delay > 0),
    });
    expect(writer.length).toBe(10_000);
    expect(await store.heldBytes(id)).toBe(10_000);

    await store.remove(ballast);
    // Where the failed write had left bytes there must be none once zeros are skipped.
    await writer.append(new Uint8Array(MiB));
    await writer.appendHole(MiB);
    await writer.append(patterned(3000, 9));
    await writer.persist();
  });
  expect(
    (await readSegment(store, id)).equals(
      Buffer.concat([patterned(10_000), Buffer.alloc(2 * MiB), patterned(3000, 9)]),
    ),
  ).toBe(true);
});

test('a store whose disk is full cannot be made, and says why', async () => {
  const folder = await smallFolder();
  if (!folder) {
    return;
  }
  execFileSync('mount', ['-o', 'remount,nr_inodes=20', folder]);
  expect(await darkroomErrorOf(FileBlobStore.open(folder))).toMatchObject({
    reason: 'STORAGE_FULL',
  });
});

test('a file that is removed underneath a writer cannot be made durable', async () => {
  const folder = await temporaryFolder();
  const store = await FileBlobStore.open(folder);
  const id = newId<SegmentId>();
  const writer = await store.openWriter(id, 0);
  await writer.append(patterned(100));
  await writer.persist();
  await rm(fileOf(folder, id));
  await writer.append(patterned(100));
  expect(await darkroomErrorOf(writer.persist())).toMatchObject({ reason: 'STORAGE_UNAVAILABLE' });
  await writer.close();
});

test('a folder that is gone is a store that cannot be reached, not bytes that are lost', async () => {
  const folder = await temporaryFolder();
  const store = await FileBlobStore.open(folder);
  const id = newId<SegmentId>();
  await writing(store, id, 0, (writer) => writer.append(patterned(10)));
  // As after an unmount: the folder itself is there, and empty.
  await rename(folder, `${folder}-away`);
  onTestFinished(() => rm(`${folder}-away`, { recursive: true, force: true }));
  await mkdir(folder);

  const calls: (() => Promise<unknown>)[] = [
    () => store.openReader(id),
    () => store.openWriter(id, 0),
    () => store.openWriter(id, 10),
    () => store.heldBytes(id),
    () => store.complete(id, 10),
    () => store.remove(id),
    () => Array.fromAsync(store.list()),
    () => store.check(),
  ];
  for (const call of calls) {
    expect(await darkroomErrorOf(call()), String(call)).toMatchObject({
      reason: 'STORAGE_UNAVAILABLE',
      retryDelayMs: expect.any(Number),
    });
  }

  await rm(folder, { recursive: true });
  await rename(`${folder}-away`, folder);
  expect(await readSegment(store, id)).toEqual(Buffer.from(patterned(10)));
});

test('other files in the folder are not taken for segments', async () => {
  const folder = await temporaryFolder();
  const store = await FileBlobStore.open(folder);
  await mkdir(join(folder, '00', 'lost+found'));
  expect(await Array.fromAsync(store.list())).toEqual([]);
});
