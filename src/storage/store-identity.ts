import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { v7 } from 'uuid';
import type { Database } from '../database/database.ts';
import { syncFolder } from './sync-folder.ts';

/** Thrown when a folder does not belong to the database; the message says what to do. */
export class StoreIdentityError extends Error {
  override readonly name = 'StoreIdentityError';
}

const markerName = 'store-id';

/**
 * Makes sure that a blob store's folder and the database belong together, by an id that both hold: with
 * another database's folder every file would look like one without an owner and be removed, and with a
 * folder that is not mounted every image would look lost.
 *
 * On an empty folder and an empty database both are given a new id: a draft of the marker first, then the
 * row, then the marker, so that a process that is killed in between does not keep the next one from
 * starting, and a marker is never there without its database.
 *
 * @throws StoreIdentityError if they do not belong together.
 */
export async function matchStoreIdentity(database: Database, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o750 });
  const marker = join(folder, markerName);
  const draft = join(folder, `${markerName}.new`);
  const client = await database.pool.connect();
  try {
    await client.query('begin');
    // Of several processes that start at once, one makes the id.
    await client.query('lock table blob_stores in exclusive mode');
    const { rows } = await client.query<{ id: string }>('select id from blob_stores');
    const known = rows[0]?.id;
    const found =
      (await readId(marker)) ??
      (known === undefined ? undefined : await publishedLate(known, draft, marker));
    if (known === undefined && found === undefined) {
      const id = v7();
      await writeId(draft, id);
      await client.query(`insert into blob_stores (id, kind) values ($1, 'file')`, [id]);
      await client.query('commit');
      await publishDraft(draft, marker);
      return;
    }
    if (known !== undefined && found === undefined) {
      throw new StoreIdentityError(
        `The blob store in ${folder} has no file ${markerName}, but the database knows a store ${known}. ` +
          'Is the folder mounted? Start again once it is; nothing was changed.',
      );
    } else if (known !== found) {
      throw new StoreIdentityError(
        `The blob store in ${folder} is ${found}, but the database ${known === undefined ? 'knows none' : `belongs to ${known}`}. ` +
          'Check DARKROOM_DATA_DIR and DATABASE_URL; nothing was changed.',
      );
    }
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  } finally {
    client.release();
  }
}

/** The process that made the id published it after it let go of the lock, or does so just now, or died before it could. */
async function publishedLate(
  known: string,
  draft: string,
  marker: string,
): Promise<string | undefined> {
  if ((await readId(draft)) === known) {
    await publishDraft(draft, marker);
  }
  return readId(marker);
}

async function readId(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (isMissing(error)) {
      return undefined;
    }
    throw error;
  }
}

async function writeId(path: string, id: string): Promise<void> {
  const file = await open(path, 'w', 0o640);
  try {
    await file.writeFile(`${id}\n`);
    await file.sync();
    await syncFolder(dirname(path));
  } finally {
    await file.close();
  }
}

async function publishDraft(draft: string, marker: string): Promise<void> {
  try {
    await rename(draft, marker);
    await syncFolder(dirname(marker));
  } catch (error) {
    // Another process that starts was faster.
    if (!isMissing(error) || (await readId(marker)) === undefined) {
      throw error;
    }
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
