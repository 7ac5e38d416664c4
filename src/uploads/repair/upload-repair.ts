import type { Logger } from 'pino';
import type { Database } from '../../database/database.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { BlobId, ProcessId, SegmentId, TaskId } from '../../records/ids.ts';
import type { BlobReaper } from '../../storage/blob-reaper.ts';
import { assertHeld } from '../../storage/blob-reader.ts';
import type { BlobStore } from '../../storage/blob-store.ts';
import { readPublishedSegments } from '../../storage/published-segments.ts';
import { faultOf } from '../../tasks/ledger/fault-report.ts';
import type { LedgerEntry } from '../../tasks/ledger/ledger-entry.ts';
import type { TaskLedger } from '../../tasks/ledger/task-ledger.ts';
import { lostStream } from '../lease/attach-writer.ts';
import { OrphanedFinishes } from './orphaned-finishes.ts';
import { removeUnownedFiles } from './unowned-files.ts';
import type { UploadService } from '../receiving/upload-service.ts';

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
  readonly filesRemoved: number;
  /** Blobs that nothing referred to any more, given to the reaper. */
  readonly blobsReleased: number;
  /** Segments without a committed byte of writers that are gone, removed. */
  readonly segmentsRemoved: number;
  /** Uploads that this process was said to write and does not, detached. */
  readonly writersDetached: number;
  /** Live tasks whose committed bytes the store has lost, failed. */
  readonly tasksFailed: number;
  /** Uploads whose finish had been received, which are being completed now. */
  readonly finishesTakenUp: number;
  /** Steps that could not be taken; they are logged, and tried again by the next repair. */
  readonly stepsFailed: number;
}

/**
 * Brings store and database together again after whatever happened. Every step is harmless while
 * uploads are under way, in this process and in others, and harmless to repeat. A step that fails does
 * not keep the others.
 */
export class UploadRepair {
  readonly #parts: UploadRepairParts;
  readonly #finishes: OrphanedFinishes;
  #running: Promise<RepairReport> | undefined;

  constructor(parts: UploadRepairParts) {
    this.#parts = parts;
    this.#finishes = new OrphanedFinishes(parts.database, parts.uploads, parts.logger);
  }

  /**
   * Repairs once; a call while another runs gets that one's report. Finishes that it takes up go on
   * afterwards. Never rejects.
   */
  run(): Promise<RepairReport> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Resolves when no repair runs and all finishes that were taken up have been completed. Never rejects. */
  async settle(): Promise<void> {
    await this.#running;
    await this.#finishes.settle();
  }

  async #run(): Promise<RepairReport> {
    const { logger, reaper, store, database } = this.#parts;
    let stepsFailed = 0;
    const step = async (name: string, work: () => Promise<number>): Promise<number> => {
      try {
        return await work();
      } catch (error) {
        logger.warn({ err: error, step: name }, 'a step of the repair failed; tried again later');
        stepsFailed += 1;
        return 0;
      }
    };
    const counts = {
      writersDetached: await step('detach lost writers', () => this.#detachLostWriters()),
      tasksFailed: await step('find lost bytes', () => this.#failTasksThatLostBytes()),
      finishesTakenUp: await step('take up finishes', () => this.#finishes.takeUp()),
      blobsReleased: await step('release blobs', () => this.#releaseUnreferencedBlobs()),
      segmentsRemoved: await step('remove empty segments', () => this.#removeEmptySegments()),
      filesRemoved: await step('remove unowned files', () =>
        removeUnownedFiles(store, database, logger),
      ),
    };
    await step('remove deleted blobs', () => reaper.reap());
    const report = { ...counts, stepsFailed };
    if (Object.values(counts).some((count) => count > 0)) {
      logger.info(report, 'repaired uploads');
    }
    return report;
  }

  /** A session that could not record its end, since the database was away, left its writer attached. */
  async #detachLostWriters(): Promise<number> {
    const { database, uploads, processId } = this.#parts;
    const { rows } = await database.pool.query<{ id: TaskId }>(
      'select id from tasks where writer_process_id = $1',
      [processId],
    );
    let detached = 0;
    for (const { id } of rows) {
      await this.#change(id, (entry) => {
        // Asked under the task's lock: an upload is held before it is attached.
        if (entry.task.writerProcessId === processId && !uploads.holds(id)) {
          entry.survive(faultOf(lostStream(entry.task)));
          entry.detachWriter();
          detached += 1;
        }
      });
    }
    return detached;
  }

  async #failTasksThatLostBytes(): Promise<number> {
    const { database, store } = this.#parts;
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
        await this.#change(id, (entry) => {
          // It may have been retried with other bytes, or deleted with its files, in between.
          if (entry.task.blobId === blob_id) {
            entry.fail(faultOf(error));
            failed += 1;
          }
        });
      }
    }
    return failed;
  }

  /** Staged blobs of no task and no unpacking that is under way, and those of tasks that nobody can retry, or that nobody retried in time. */
  async #releaseUnreferencedBlobs(): Promise<number> {
    // Whatever somebody else has locked just now is left to the next repair: nothing is waited for, so
    // that the locks' order, which differs from the ledger's, does no harm.
    const { database, failedBytesRetentionMs } = this.#parts;
    const { rows } = await database.pool.query<{ released: number }>(
      `with useless as (
        select tasks.id, tasks.blob_id
        from tasks join images on images.id = tasks.image_id
        where tasks.blob_id is not null
          and tasks.finish_time is not null
          and (tasks.retried_by is not null or images.state <> 'QUEUED'
            or tasks.finish_time < now() - $1 * interval '1 ms')
        for update of tasks skip locked
      ), released as (
        update tasks set blob_id = null where id in (select id from useless)
      ), unreferenced as (
        select blobs.id from blobs
        where blobs.state = 'STAGED'
          and not exists (
            select from tasks
            where tasks.blob_id = blobs.id and tasks.id not in (select id from useless))
          and not exists (
            select from tasks
            where tasks.id = blobs.unpacking_task_id and tasks.writer_epoch = blobs.unpacking_epoch
              and tasks.writer_process_id is not null)
        for update skip locked
      ), given_up as (
        update blobs set state = 'DELETING', update_time = now()
        where id in (select id from unreferenced)
        returning project_id
      )
      select count(*)::int as released, quota_lock(array_agg(project_id)) from given_up`,
      [failedBytesRetentionMs],
    );
    return rows[0]?.released ?? 0;
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

  /** Changes a task; what it says of itself, such as that it has just ended, needs no repair. */
  async #change(id: TaskId, work: (entry: LedgerEntry) => void): Promise<void> {
    try {
      await this.#parts.ledger.change(id, undefined, work);
    } catch (error) {
      if (!(error instanceof DarkroomError)) {
        throw error;
      }
    }
  }
}
