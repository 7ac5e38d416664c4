import type { Database } from '../../database/database.ts';
import type { TaskId } from '../../records/ids.ts';

/** Tasks that are looked at in one transaction. */
const batchSize = 500;
const second = 1000;
const hour = 3600 * second;

// Locked is what goes and nothing else, in the order of the ledger, image and then task; nothing is
// waited for. Faults and events go with their tasks. The limit stands in the text, for with one that it
// does not know PostgreSQL plans for a ninth of the table.
const pruneBatch = `
  with batch as materialized (
    select id, image_id, finish_time
      from tasks
     where finish_time < now() - $1 * interval '1 ms'
       and (finish_time, id) > ($2, $3)
     order by finish_time, id
     limit ${batchSize}
  ), free_images as materialized (
    select batch.id as task_id
      from batch
      join images on images.id = batch.image_id
     where images.state = 'DELETED' or images.latest_task_id is distinct from batch.id
       for update of images skip locked
  ), free_tasks as materialized (
    select id, blob_id
      from tasks
     where id in (select task_id from free_images)
       for update skip locked
  ), released as (
    update blobs
       set state = 'DELETING', update_time = now()
     where id in (select blob_id from free_tasks) and state = 'STAGED'
    returning project_id
  ), pruned as (
    delete from tasks where id in (select id from free_tasks) returning id
  )
  select (select count(*) from batch)::int as seen,
         (select count(*) from pruned)::int as pruned,
         (select count(*) from released)::int as released,
         (select quota_lock(array_agg(project_id)) from released) as locked,
         last.finish_time as last_time,
         last.id as last_id
    from (select finish_time, id from batch order by finish_time desc, id desc limit 1) last`;

interface PrunedBatch {
  readonly seen: number;
  readonly pruned: number;
  readonly released: number;
  readonly last_time: string;
  readonly last_id: TaskId;
}

/** What a pruning did. */
export interface PrunedHistory {
  readonly tasks: number;
  /** Blobs that are now to be removed: bytes that a retry could still have taken over. */
  readonly blobs: number;
}

/**
 * Forgets tasks that ended long ago, with their faults and events. The newest task of an image stays as
 * long as the image does: it holds the reason of its outlook. Such tasks are met again in every round,
 * so a round goes through the history in small batches, and the next one begins after a while.
 */
export class HistoryPruner {
  readonly #database: Database;
  readonly #retentionMs: number;
  #after: readonly [string, string] = theBeginning;
  #nextRoundAt = Number.NEGATIVE_INFINITY;

  /** @param retentionMs how long tasks are kept after they ended, in ms. */
  constructor(database: Database, retentionMs: number) {
    this.#database = database;
    this.#retentionMs = retentionMs;
  }

  /**
   * Goes on with the round, by some batches at most; does nothing between two rounds.
   *
   * @param isStopping asked before each batch.
   * @throws the driver's errors.
   */
  async prune(isStopping: () => boolean): Promise<PrunedHistory> {
    let tasks = 0;
    let blobs = 0;
    for (let i = 0; i < maxBatches && !isStopping() && this.#isDue(); i++) {
      const batch = await this.#pruneBatch();
      tasks += batch?.pruned ?? 0;
      blobs += batch?.released ?? 0;
    }
    return { tasks, blobs };
  }

  #isDue(): boolean {
    return performance.now() >= this.#nextRoundAt;
  }

  async #pruneBatch(): Promise<PrunedBatch | undefined> {
    const { rows } = await this.#database.run<PrunedBatch>({
      name: 'prune history',
      text: pruneBatch,
      values: [this.#retentionMs, ...this.#after],
    });
    const batch = rows[0];
    if (batch && batch.seen === batchSize) {
      this.#after = [batch.last_time, batch.last_id];
    } else {
      this.#after = theBeginning;
      this.#nextRoundAt =
        performance.now() + Math.min(hour, Math.max(second, this.#retentionMs / 100));
    }
    return batch;
  }
}

const theBeginning = ['-infinity', '00000000-0000-0000-0000-000000000000'] as const;

/** Batches of one call: so many tasks ended in a second is more than a service sees. */
const maxBatches = 10;
