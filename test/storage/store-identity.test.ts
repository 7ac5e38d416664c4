import { mkdtemp, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { roomyFolder } from '../../src/database/embedded-postgres/throwaway.ts';
import type { Database } from '../../src/database/database.ts';
import { matchStoreIdentity, StoreIdentityError } from '../../src/storage/store-identity.ts';
import { runProgram } from '../support/programs.ts';
import { connectTestDatabase } from '../support/test-database.ts';

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(await roomyFolder(), 'darkroom-identity-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function knownStores(database: Database): Promise<string[]> {
  const { rows } = await database.pool.query<{ id: string }>('select id from blob_stores');
  return rows.map(({ id }) => id);
}

async function markerOf(folder: string): Promise<string> {
  return (await readFile(join(folder, 'store-id'), 'utf8')).trim();
}

async function refusalOf(call: Promise<unknown>): Promise<StoreIdentityError> {
  const error = await call.then(
    () => expect.unreachable('the folder should have been refused'),
    (refusal: unknown) => refusal,
  );
  expect(error).toBeInstanceOf(StoreIdentityError);
  return error as StoreIdentityError;
}

test('the first start makes the folder and gives it and the database one id', async () => {
  const database = await connectTestDatabase();
  const folder = join(await temporaryFolder(), 'not', 'there', 'yet');
  await matchStoreIdentity(database, folder);
  expect(await knownStores(database)).toEqual([await markerOf(folder)]);
});

test('later starts with the same pair change nothing', async () => {
  const database = await connectTestDatabase();
  const folder = await temporaryFolder();
  await matchStoreIdentity(database, folder);
  const before = await markerOf(folder);
  await matchStoreIdentity(database, folder);
  await matchStoreIdentity(database, folder);
  expect(await markerOf(folder)).toBe(before);
  expect(await knownStores(database)).toEqual([before]);
});

test('another database’s folder is refused, and told from its own', async () => {
  const [database, other] = [await connectTestDatabase(), await connectTestDatabase()];
  const [folder, otherFolder] = [await temporaryFolder(), await temporaryFolder()];
  await matchStoreIdentity(database, folder);
  await matchStoreIdentity(other, otherFolder);

  const refusal = await refusalOf(matchStoreIdentity(database, otherFolder));
  expect(refusal.message).toContain(await markerOf(folder));
  expect(refusal.message).toContain(await markerOf(otherFolder));
  await expect(matchStoreIdentity(database, folder)).resolves.toBeUndefined();
});

test('an empty database does not take over another one’s folder', async () => {
  const [database, empty] = [await connectTestDatabase(), await connectTestDatabase()];
  const folder = await temporaryFolder();
  await matchStoreIdentity(database, folder);
  await refusalOf(matchStoreIdentity(empty, folder));
  expect(await knownStores(empty)).toEqual([]);
  await expect(matchStoreIdentity(database, folder)).resolves.toBeUndefined();
});

test('a folder without a marker is refused once the database knows a store', async () => {
  const database = await connectTestDatabase();
  await matchStoreIdentity(database, await temporaryFolder());
  const unmounted = await temporaryFolder();
  const refusal = await refusalOf(matchStoreIdentity(database, unmounted));
  expect(refusal.message).toContain('mounted');
  expect(await readdir(unmounted)).toEqual([]);
});

test('processes that start at once agree on one id', async () => {
  const database = await connectTestDatabase();
  const folder = await temporaryFolder();
  await Promise.all(Array.from({ length: 5 }, () => matchStoreIdentity(database, folder)));
  expect(await knownStores(database)).toEqual([await markerOf(folder)]);
});

test('a process that looks while another publishes the id finds it', async () => {
  const database = await connectTestDatabase();
  const folder = await temporaryFolder();
  await matchStoreIdentity(database, folder);
  const [marker, draft] = [join(folder, 'store-id'), join(folder, 'store-id.new')];
  await rename(marker, join(folder, 'aside'));
  // Looks at the marker, then at the draft, which takes until somebody writes to it.
  await runProgram('mkfifo', [draft]);
  const match = matchStoreIdentity(database, folder);
  const writer = await open(draft, 'w');
  await rename(join(folder, 'aside'), marker);
  await writer.close();
  await expect(match).resolves.toBeUndefined();
});

test('a first start that the database refuses leaves a folder that the next one can take', async () => {
  const database = await connectTestDatabase();
  const folder = await temporaryFolder();
  await database.pool.query('alter table blob_stores add constraint refuse check (kind is null)');
  await expect(matchStoreIdentity(database, folder)).rejects.toThrow('refuse');
  await database.pool.query('alter table blob_stores drop constraint refuse');
  await matchStoreIdentity(database, folder);
  expect(await knownStores(database)).toEqual([await markerOf(folder)]);
});
