import type { Logger } from 'pino';
import type { Database } from '../../database/database.ts';
import type { SegmentId } from '../../records/ids.ts';
import type { BlobStore } from '../../storage/blob-store.ts';

/** Files that are looked up in one query. */
const batchSize = 1000;

/**
 * Removes the files of a store that no segment's row owns, and answers how many. A row is there before
 * its file, and goes after it: a file without a row is nobody's, also while uploads are under way.
 *
 * @throws a storage error; the driver's errors.
 */
export async function removeUnownedFiles(
  store: BlobStore,
  database: Database,
  logger: Logger,
): Promise<number> {
  let removed = 0;
  let batch: SegmentId[] = [];
  const removeBatch = async (): Promise<void> => {
    const { rows } = await database.pool.query<{ id: SegmentId }>(
      `select file.id from unnest($1::uuid[]) as file (id)
       where not exists (select from blob_segments where blob_segments.id = file.id)`,
      [batch],
    );
    for (const { id } of rows) {
      logger.warn({ segmentId: id }, 'removing a file that nothing refers to');
      await store.remove(id);
      removed += 1;
    }
    batch = [];
  };
  for await (const id of store.list()) {
    batch.push(id);
    if (batch.length === batchSize) {
      await removeBatch();
    }
  }
  if (batch.length > 0) {
    await removeBatch();
  }
  return removed;
}
