import type { Logger } from 'pino';
import type { Database } from '../database/database.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { BlobId, ProcessId, SegmentId, TaskId } from '../domain/ids.ts';
import type { BlobReaper } from '../storage/blob-reaper.ts';
import { assertHeld } from '../storage/blob-reader.ts';
import type { BlobStore } from '../storage/blob-store.ts';
import { readPublishedSegments } from '../storage/published-segments.ts';
import { faultOf } from '../tasks/fault-report.ts';
import type { TaskLedger } from '../tasks/task-ledger.ts';
import type { UploadService } from './upload-service.ts';

/** What a repair works with. */
export interface UploadRepairParts {
  readonly database: Database;
  readonly ledger: TaskLedger;
  readonly store: BlobStore;
  readonly uploads: UploadService;
  readonly reaper: BlobReaper;
  readonly processId: ProcessId;
  /** How long the bytes of a failed or cancelled task wait for a retry, in ms. */
  readonly failedBytesRetentionMs: number;
  readonly logger: Logger;
}

/** What a repair did; all zero is the usual case. */
export interface RepairReport {
  /** Files that no segment row owned, removed. */
  filesRemoved: number;
  /** Blobs that nothing referred to any more, given to the reaper. */
  blobsReleased: number;
  /** Segments without a committed byte of writers that are gone, removed. */
  segmentsRemoved: number;
  /** Live tasks whose committed bytes the store has lost, failed. */
  tasksFailed: number;
  /** Uploads that this process was said to write and does not, detached. */
  writersDetached: number;
  /** Uploads whose finish had been received, completed. */
  finishesCompleted: number;
}

/**
 * Brings store and database together again after whatever happened. Every step is harmless while
 * uploads are under way, in this process and in others, and harmless to repeat.
 */
export class UploadRepair {
  readonly #parts: UploadRepairParts;
  #running: Promise<RepairReport> | undefined;

  constructor(parts: UploadRepairParts) {
    this.#parts = parts;
  }

  /** Repairs once; a call while another runs gets that one's report. */
  run(): Promise<RepairReport> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Resolves when no repair runs. Never rejects. */
  async settle(): Promise<void> {
    await this.#running?.catch(() => {});
  }

  async #run(): Promise<RepairReport> {
    const report: RepairReport = {
      filesRemoved: await this.#removeUnownedFiles(),
      blobsReleased: await this.#releaseUnreferencedBlobs(),
      segmentsRemoved: await this.#removeEmptySegments(),
      writersDetached: await this.#detachLostWriters(),
      tasksFailed: await this.#failTasksThatLostBytes(),
      finishesCompleted: await this.#completeFinishes(),
    };
    await this.#parts.reaper.reap();
    if (Object.values(report).some((count) => count > 0)) {
      this.#parts.logger.info(report, 'repaired uploads');
    }
    return report;
  }

  /** A segment's row is there before its file, and goes after it: a file without a row is nobody's. */
  async #removeUnownedFiles(): Promise<number> {
    const { store, database, logger } = this.#parts;
    let removed = 0;
    let batch: SegmentId[] = [];
    const removeUnowned = async (): Promise<void> => {
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
      if (batch.length === 1000) {
        await removeUnowned();
      }
    }
    if (batch.length > 0) {
      await removeUnowned();
    }
    return removed;
  }

  /** Staged blobs of no task, and those of tasks that nobody can retry, or that nobody retried in time. */
  async #releaseUnreferencedBlobs(): Promise<number> {
    const { database, failedBytesRetentionMs } = this.#parts;
    // A task that a deletion or a retry has just locked is looked at the next time.
    await database.pool.query(
      `with useless as (
        select tasks.id
        from tasks join images on images.id = tasks.image_id
        where tasks.blob_id is not null
          and tasks.finish_time is not null
          and (tasks.retried_by is not null or images.state <> 'QUEUED'
            or tasks.finish_time < now() - $1 * interval '1 ms')
        for update of tasks skip locked
      )
      update tasks set blob_id = null where id in (select id from useless)`,
      [failedBytesRetentionMs],
    );
    const { rowCount } = await database.pool.query(`
      with unreferenced as (
        select blobs.id from blobs
        where blobs.state = 'STAGED'
          and not exists (select from tasks where tasks.blob_id = blobs.id)
        for update skip locked
      )
      update blobs set state = 'DELETING', update_time = now()
      where id in (select id from unreferenced)`);
    return rowCount ?? 0;
  }

  /** Writers that came and went without a committed byte leave empty segments behind. */
  async #removeEmptySegments(): Promise<number> {
    const { database, store } = this.#parts;
    const { rows } = await database.pool.query<{ id: SegmentId }>(`
      select segment.id
      from blob_segments as segment join blobs on blobs.id = segment.blob_id
      where segment.length = 0
        and (blobs.state = 'PUBLISHED' or exists (
          select from tasks
          where tasks.blob_id = blobs.id and tasks.writer_epoch > segment.writer_epoch))`);
    for (const { id } of rows) {
      await store.remove(id);
      await database.pool.query('delete from blob_segments where id = $1 and length = 0', [id]);
    }
    return rows.length;
  }

  /** A session that could not record its end, since the database was away, left its writer attached. */
  async #detachLostWriters(): Promise<number> {
    const { database, ledger, uploads, processId } = this.#parts;
    const { rows } = await database.pool.query<{ id: TaskId }>(
      'select id from tasks where writer_process_id = $1',
      [processId],
    );
    let detached = 0;
    for (const { id } of rows) {
      await ledger
        .change(id, undefined, (entry) => {
          // Asked under the task's lock: an upload is held before it is attached.
          if (entry.task.writerProcessId === processId && !uploads.holds(id)) {
            entry.survive(
              faultOf(
                new DarkroomError(
                  'SERVICE_LOST',
                  `The upload's stream ended while the database was away, with ${entry.task.committedSize} bytes stored. It can be resumed from there.`,
                ),
              ),
            );
            entry.detachWriter();
            detached += 1;
          }
        })
        .catch(ignoreDarkroomError);
    }
    return detached;
  }

  async #failTasksThatLostBytes(): Promise<number> {
    const { database, ledger, store } = this.#parts;
    const { rows } = await database.pool.query<{ id: TaskId; blob_id: BlobId }>(`
      select id, blob_id from tasks
      where state in ('PENDING', 'RUNNING') and committed_size > 0 and writer_process_id is null`);
    let failed = 0;
    for (const { id, blob_id } of rows) {
      try {
        await assertHeld(store, await readPublishedSegments(database, blob_id));
      } catch (error) {
        if (!(error instanceof DarkroomError) || error.reason !== 'STORED_BYTES_LOST') {
          throw error;
        }
        await ledger
          .change(id, undefined, (entry) => {
            entry.fail(faultOf(error));
            failed += 1;
          })
          .catch(ignoreDarkroomError);
      }
    }
    return failed;
  }

  /** "Once a finish was taken, the task completes by itself." */
  async #completeFinishes(): Promise<number> {
    const { database, uploads, logger } = this.#parts;
    const { rows } = await database.pool.query<{
      id: TaskId;
      finish_size: string;
      finish_sha256: string | null;
    }>(`
      select id, finish_size, finish_sha256 from tasks
      where state = 'RUNNING' and finish_size = committed_size and writer_process_id is null`);
    let completed = 0;
    for (const { id, finish_size, finish_sha256 } of rows) {
      try {
        await uploads.complete(id, {
          totalSize: Number(finish_size),
          sha256: finish_sha256 ?? undefined,
        });
        completed += 1;
      } catch (error) {
        ignoreDarkroomError(error);
        logger.info({ err: error, taskId: id }, 'a received finish could not be completed');
      }
    }
    return completed;
  }
}

/** What a task says of itself, such as that it has just ended, needs no repair. */
function ignoreDarkroomError(error: unknown): void {
  if (!(error instanceof DarkroomError)) {
    throw error;
  }
}
