import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, inject, onTestFinished } from 'vitest';
import { Database } from '../../src/database/database.ts';
import { CleanUps } from './clean-ups.ts';
import { administer, databaseUrl } from './database-cluster.ts';

/** A database of its own, dropped when the test or the test file ends. */
export interface TestDatabase {
  readonly url: string;
  /** Drops it, cutting whoever is still connected. */
  readonly drop: () => Promise<void>;
}

/** Copies the migrated template: about 30 ms. */
export async function createTestDatabase(): Promise<TestDatabase> {
  // In memory, copying the files takes half of what it takes to write each page to the log.
  return create('darkroom', `template ${inject('templateDatabase')} strategy file_copy`);
}

/** Makes one without a schema. */
export async function createEmptyDatabase(): Promise<TestDatabase> {
  return create('darkroom_empty', '');
}

async function create(prefix: string, how: string): Promise<TestDatabase> {
  const clusterUrl = inject('clusterUrl');
  const name = `${prefix}_${randomBytes(8).toString('hex')}`;
  await administer(clusterUrl, `create database ${name} ${how}`);
  return {
    url: databaseUrl(clusterUrl, name),
    drop: () => administer(clusterUrl, `drop database if exists ${name} with (force)`),
  };
}

/** A database of its own that is connected to. */
export interface OpenDatabase {
  readonly database: Database;
  readonly url: string;
}

/** How to open a database. */
export interface OpenDatabaseOptions {
  readonly poolSize?: number;
  /** Called with what closes and drops it; when the running test is finished if not given. */
  readonly defer?: (cleanUp: () => Promise<void>) => void;
}

/** Makes a database and connects to it. */
export async function openDatabase({
  poolSize = 8,
  defer = onTestFinished,
}: OpenDatabaseOptions = {}): Promise<OpenDatabase> {
  const { url, drop } = await createTestDatabase();
  defer(drop);
  const database = await Database.connect({ url, poolSize, onWarning: console.warn });
  defer(() => database.close());
  return { database, url };
}

/** Makes a database for the running test alone and connects to it. */
export async function connectTestDatabase(): Promise<Database> {
  return (await openDatabase()).database;
}

/** A database for all tests of the file; answers it, and its URL, once they run. */
export function useOpenDatabase(poolSize?: number): () => OpenDatabase {
  const cleanUps = new CleanUps();
  let opened: OpenDatabase | undefined;
  beforeAll(async () => {
    const { defer } = cleanUps;
    opened = await openDatabase({ defer, ...(poolSize && { poolSize }) });
  });
  afterAll(cleanUps.run);
  return () => {
    if (!opened) {
      throw new Error('the database is there only while tests run');
    }
    return opened;
  };
}

/** A database for all tests of the file; answers it once they run. */
export function useDatabase(poolSize?: number): () => Database {
  const opened = useOpenDatabase(poolSize);
  return () => opened().database;
}
