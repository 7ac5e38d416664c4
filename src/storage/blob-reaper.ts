import type { Logger } from 'pino';
import type { Database } from '../database/database.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { BlobId, SegmentId } from '../records/ids.ts';
import type { BlobStore } from './blob-store.ts';

/** Blobs a pass takes at once; each is a transaction of its own. */
const passSize = 100;

/**
 * Removes what is marked as DELETING: the files first, then the rows, so that a crash in between
 * leaves rows that are tried again and never a file without an owner.
 */
export class BlobReaper {
  readonly #database: Database;
  readonly #store: BlobStore;
  readonly #logger: Logger;
  #running: Promise<number> | undefined;
  #again = false;

  constructor(database: Database, store: BlobStore, logger: Logger) {
    this.#database = database;
    this.#store = store;
    this.#logger = logger;
  }

  /** Says that there may be something to remove; it is removed in the background. */
  wake(): void {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = this.reap()
      .catch((error: unknown) => {
        this.#logger.warn({ err: error }, 'deleted blobs could not be removed; tried again later');
        return 0;
      })
      .finally(() => {
        this.#running = undefined;
        if (this.#again) {
          this.#again = false;
          this.wake();
        }
      });
  }

  /** Resolves when nothing is being removed any more. */
  async settle(): Promise<void> {
    while (this.#running) {
      await this.#running;
    }
  }

  /**
   * Removes all there is to remove, and answers how many blobs. One that cannot be removed does not
   * keep the others.
   *
   * @throws the first failure, once the others were removed; the driver's errors at once.
   */
  async reap(): Promise<number> {
    let reaped = 0;
    let after: BlobId | undefined;
    const failures: DarkroomError[] = [];
    for (;;) {
      const { rows } = await this.#database.pool.query<{ id: BlobId }>(
        `select id from blobs where state = 'DELETING' and ($1::uuid is null or id > $1)
         order by id limit ${passSize}`,
        [after],
      );
      for (const { id } of rows) {
        try {
          await this.#remove(id);
          reaped += 1;
        } catch (error) {
          if (!(error instanceof DarkroomError)) {
            throw error;
          }
          failures.push(error);
        }
      }
      after = rows.at(-1)?.id;
      if (rows.length < passSize) {
        break;
      }
    }
    if (reaped > 0) {
      this.#logger.info({ blobs: reaped }, 'removed deleted blobs');
    }
    if (failures[0]) {
      throw failures[0];
    }
    return reaped;
  }

  async #remove(id: BlobId): Promise<void> {
    const { pool } = this.#database;
    const { rows } = await pool.query<{ id: SegmentId }>(
      'select id from blob_segments where blob_id = $1',
      [id],
    );
    for (const segment of rows) {
      await this.#store.remove(segment.id);
    }
    // Whatever another process does at the same time is the same, and does no harm twice.
    await pool.query(
      `with gone as (delete from blob_segments where blob_id = $1)
       delete from blobs where id = $1 and state = 'DELETING'`,
      [id],
    );
  }
}
