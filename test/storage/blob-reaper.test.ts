import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { roomyFolder } from '../../src/database/embedded-postgres/throwaway.ts';
import type { Database } from '../../src/database/database.ts';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import { newId, type BlobId, type SegmentId } from '../../src/records/ids.ts';
import { BlobReaper } from '../../src/storage/blob-reaper.ts';
import type { BlobState } from '../../src/records/blob.ts';
import type { BlobStore } from '../../src/storage/blob-store.ts';
import { FileBlobStore } from '../../src/storage/file-blob-store.ts';
import { connectTestDatabase } from '../support/test-database.ts';
import { alteredStore } from './altered-store.ts';
import { darkroomErrorOf, patterned, writing } from './blob-store-contract.ts';

const logger = pino({ level: 'silent' });

interface World {
  readonly database: Database;
  readonly store: BlobStore;
}

async function openWorld(): Promise<World> {
  const folder = await mkdtemp(join(await roomyFolder(), 'darkroom-reaper-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return { database: await connectTestDatabase(), store: await FileBlobStore.open(folder) };
}

/** A blob with segments of 10 bytes each. */
async function addBlob(world: World, state: BlobState, segments: number): Promise<BlobId> {
  const blobId = newId<BlobId>();
  await world.database.pool.query('insert into blobs (id, state) values ($1, $2)', [blobId, state]);
  for (let index = 0; index < segments; index++) {
    const id = newId<SegmentId>();
    await writing(world.store, id, 0, (writer) => writer.append(patterned(10)));
    await world.database.pool.query(
      `insert into blob_segments (id, blob_id, start_offset, length, stored_bytes, writer_epoch)
       values ($1, $2, $3, 10, 10, $4)`,
      [id, blobId, index * 10, index + 1],
    );
  }
  return blobId;
}

async function blobsOf({ database }: World): Promise<BlobId[]> {
  const { rows } = await database.pool.query<{ id: BlobId }>('select id from blobs order by id');
  return rows.map(({ id }) => id);
}

/** The segments that have rows, and those that have files. */
async function segmentsOf({ database, store }: World): Promise<[SegmentId[], SegmentId[]]> {
  const { rows } = await database.pool.query<{ id: SegmentId }>('select id from blob_segments');
  return [rows.map(({ id }) => id).toSorted(), (await Array.fromAsync(store.list())).toSorted()];
}

test('blobs marked as DELETING go with their files, and all others stay', async () => {
  const world = await openWorld();
  await addBlob(world, 'DELETING', 3);
  await addBlob(world, 'DELETING', 0);
  const kept = [await addBlob(world, 'STAGED', 1), await addBlob(world, 'PUBLISHED', 2)];

  expect(await new BlobReaper(world.database, world.store, logger).reap()).toBe(2);

  expect(await blobsOf(world)).toEqual(kept.toSorted());
  const [rows, files] = await segmentsOf(world);
  expect(rows).toHaveLength(3);
  expect(files).toEqual(rows);
});

test('a row goes only after its file', async () => {
  const world = await openWorld();
  const blobId = await addBlob(world, 'DELETING', 2);
  const blobsAtRemoval: BlobId[][] = [];
  const store = alteredStore(world.store, {
    async remove(id) {
      await world.store.remove(id);
      blobsAtRemoval.push(await blobsOf(world));
    },
  });
  await new BlobReaper(world.database, store, logger).reap();
  expect(blobsAtRemoval).toEqual([[blobId], [blobId]]);
});

test('what a store fails to remove keeps its rows, and a later reap finishes', async () => {
  const world = await openWorld();
  const blobId = await addBlob(world, 'DELETING', 2);
  let failures = 1;
  const store = alteredStore(world.store, {
    async remove(id) {
      await world.store.remove(id);
      if (failures-- > 0) {
        throw new DarkroomError('STORAGE_UNAVAILABLE', 'by the test');
      }
    },
  });
  const reaper = new BlobReaper(world.database, store, logger);

  expect(await darkroomErrorOf(reaper.reap())).toMatchObject({ reason: 'STORAGE_UNAVAILABLE' });
  expect(await blobsOf(world)).toEqual([blobId]);
  expect((await segmentsOf(world))[0]).toHaveLength(2);

  expect(await reaper.reap()).toBe(1);
  expect(await blobsOf(world)).toEqual([]);
  expect(await segmentsOf(world)).toEqual([[], []]);
});

test('two processes that reap at once remove everything and trip over nothing', async () => {
  const world = await openWorld();
  for (let index = 0; index < 20; index++) {
    await addBlob(world, 'DELETING', 2);
  }
  const reapers = [1, 2].map(() => new BlobReaper(world.database, world.store, logger));
  await Promise.all(reapers.map((reaper) => reaper.reap()));
  expect(await blobsOf(world)).toEqual([]);
  expect(await segmentsOf(world)).toEqual([[], []]);
});

test('more blobs than a pass takes are all removed', async () => {
  const world = await openWorld();
  await world.database.pool.query(
    `insert into blobs (id, state) select gen_random_uuid(), 'DELETING' from generate_series(1, 205)`,
  );
  expect(await new BlobReaper(world.database, world.store, logger).reap()).toBe(205);
  expect(await blobsOf(world)).toEqual([]);
});

test('a wake while a pass runs makes another pass', async () => {
  const world = await openWorld();
  await addBlob(world, 'DELETING', 1);
  let isFirst = true;
  const store = alteredStore(world.store, {
    async remove(id) {
      if (isFirst) {
        isFirst = false;
        await addBlob(world, 'DELETING', 1);
        reaper.wake();
      }
      await world.store.remove(id);
    },
  });
  const reaper = new BlobReaper(world.database, store, logger);
  reaper.wake();
  await reaper.settle();
  expect(await blobsOf(world)).toEqual([]);
  expect(await segmentsOf(world)).toEqual([[], []]);
});

test('a failure in the background is survived', async () => {
  const world = await openWorld();
  await addBlob(world, 'DELETING', 1);
  let failures = 1;
  const store = alteredStore(world.store, {
    async remove(id) {
      if (failures-- > 0) {
        throw new DarkroomError('STORAGE_UNAVAILABLE', 'by the test');
      }
      await world.store.remove(id);
    },
  });
  const reaper = new BlobReaper(world.database, store, logger);
  reaper.wake();
  await reaper.settle();
  expect(await blobsOf(world)).toHaveLength(1);
  reaper.wake();
  await reaper.settle();
  expect(await blobsOf(world)).toEqual([]);
});
