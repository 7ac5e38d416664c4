import type { EntityClass } from '@mikro-orm/core';
import {
  askedKey,
  askedRows,
  askedRowsForProjects,
  askedValues,
  type AskedRow,
} from '../../database/asked-rows.ts';
import { isOwnSql } from '../../access/rights.ts';
import { Batch } from '../../database/batch.ts';
import { BatchedRead } from '../../database/batched-read.ts';
import type { Database } from '../../database/database.ts';
import { severalProjects } from '../../database/quota-locks.ts';
import { jsonRows, prefixedRows, type JsonRows, type RawRow } from '../../database/entity-rows.ts';
import type { StatementResult } from '../../database/statement.ts';
import { Fault } from '../../records/fault.ts';
import type { ImageId, TaskId } from '../../records/ids.ts';
import { Image } from '../../records/image.ts';
import { TaskEvent } from '../../records/task-event.ts';
import { Task } from '../../records/task.ts';
import type { LedgerFacts } from './ledger-facts.ts';
import { UnlockedEntry } from './unlocked-entry.ts';

/** Changes of one statement. */
const maxBatch = 64;

/** What a change without locks may change of a task, and of its image. */
const taskProperties = [
  'state',
  'phase',
  'message',
  'committedSize',
  'storedBytes',
  'reportedBytesDone',
  'reportedBytesTotal',
  'finishSize',
  'finishSha256',
  'announcedSize',
  'isStaging',
  'stagedSize',
  'blobId',
  'writerEpoch',
  'writerProcessId',
  'writerPeer',
  'writerSince',
  'faultCount',
  'lastFaultId',
  'revision',
  'expireTime',
  'startTime',
  'updateTime',
  'finishTime',
] as const satisfies readonly (keyof Task)[];
const imageProperties = [
  'state',
  'outlook',
  'sizeBytes',
  'virtualSizeBytes',
  'sha256',
  'blobId',
  'lastFaultId',
  'version',
  'updateTime',
] as const satisfies readonly (keyof Image)[];

/**
 * Reads tasks that are to be changed, and writes the changes, without holding a lock in between: each of both is one
 * statement, for all who do so at the same time. A lock is held for as long as its one statement runs, and none is
 * waited for, so that whoever holds one delays nobody but those who change the same task.
 *
 * With 16 callers who each upload 64 KiB this takes 2 statements for a change and shares them, where a transaction took
 * 7 or 8 of its own.
 */
export class UnlockedChanges {
  readonly #database: Database;
  readonly #reads = new Map<string, BatchedRead<string, RawRow>>();
  readonly #writes: Batch<UnlockedEntry, boolean>;
  readonly #image;
  readonly #task;
  readonly #rows: Readonly<{
    task: JsonRows<Task>;
    image: JsonRows<Image>;
    event: JsonRows<TaskEvent>;
    fault: JsonRows<Fault>;
  }>;
  readonly #write: string;

  constructor(database: Database) {
    this.#database = database;
    this.#image = prefixedRows(database, Image, 'image');
    this.#task = prefixedRows(database, Task, 'task');
    this.#rows = {
      task: jsonRows(database, Task, ['id', ...taskProperties]),
      image: jsonRows(database, Image, ['id', ...imageProperties]),
      event: jsonRows(database, TaskEvent),
      fault: jsonRows(database, Fault),
    };
    this.#write = writeText(this.#rows);
    this.#writes = new Batch((entries) => this.#writeAll(entries), maxBatch);
  }

  /**
   * Reads a task, its image and what else a change needs to know; undefined if there is no such task. For a project it is
   * read behind the second wall; what is written then is what was read, by its version.
   *
   * @param projectId whose the task must be; undefined for any, for the service itself.
   */
  async read<Facts>(
    taskId: TaskId,
    projectId: string | undefined,
    facts: LedgerFacts<Facts>,
  ): Promise<{ readonly entry: UnlockedEntry; readonly facts: Facts } | undefined> {
    const reads = projectId === undefined ? this.#readOf(facts) : this.#readForProjectsOf(facts);
    const row = await reads.read(askedKey(taskId, projectId));
    return (
      row && {
        entry: new UnlockedEntry(
          this.#image.entityOf(row),
          this.#task.entityOf(row),
          new Date(String(row['now'])),
          { task: String(row['task_version']), image: String(row['image_version']) },
        ),
        facts: facts.of(row),
      }
    );
  }

  /**
   * Writes a change. Answers whether it did: not if task or image have changed since they were read, or are locked
   * by somebody else.
   *
   * @throws the driver's errors.
   */
  async write(entry: UnlockedEntry): Promise<boolean> {
    const stray = [
      ...outside<PropertyKey>(taskProperties, entry.changedOfTask),
      ...outside<PropertyKey>(imageProperties, entry.changedOfImage),
      ...outside<EntityClass<object>>([Fault, TaskEvent], entry.rows.entities).map(
        ({ name }) => name,
      ),
    ];
    if (stray.length > 0) {
      throw new Error(`${stray.map(String).join(', ')}: is changed under the task’s lock only.`);
    }
    return this.#writes.add(entry);
  }

  #readOf(facts: LedgerFacts<unknown>): BatchedRead<string, RawRow> {
    const text = askedRows(this.#rowOf(facts, 'true'));
    return this.#batchOf(`tasks to change: ${facts.name}`, (name, values) =>
      this.#database.run<RawRow>({ name, text, values }),
    );
  }

  #readForProjectsOf(facts: LedgerFacts<unknown>): BatchedRead<string, RawRow> {
    const text = askedRowsForProjects(this.#rowOf(facts, isOwnSql('task', 'asked_project')));
    return this.#batchOf(`tasks to change for projects: ${facts.name}`, (name, values) =>
      this.#database.runForProjects<RawRow>({ name, text, values }),
    );
  }

  /** By the primary keys of both. */
  #rowOf(facts: LedgerFacts<unknown>, isSeen: string): AskedRow {
    return {
      columns: `
        ${this.#image.select}, ${this.#task.select},
        image.xmin as image_version, task.xmin as task_version,
        clock_timestamp()::timestamptz(3) as now, ${facts.columns}`,
      from: 'tasks as task join images as image on image.id = task.image_id',
      where: `task.id = asked_id and ${isSeen}`,
    };
  }

  #batchOf(
    name: string,
    run: (name: string, values: ReturnType<typeof askedValues>) => Promise<StatementResult<RawRow>>,
  ): BatchedRead<string, RawRow> {
    const known = this.#reads.get(name);
    if (known) {
      return known;
    }
    const read = new BatchedRead<string, RawRow>(async (keys) => {
      const { rows } = await run(name, askedValues(keys));
      return new Map(rows.map((row) => [String(row['asked_key']), row]));
    }, maxBatch);
    this.#reads.set(name, read);
    return read;
  }

  async #writeAll(all: readonly UnlockedEntry[]): Promise<boolean[]> {
    // Of several changes of one image only one can be of its version.
    const first = new Map<ImageId, UnlockedEntry>();
    for (const entry of all) {
      if (!first.has(entry.image.id)) {
        first.set(entry.image.id, entry);
      }
    }
    const entries = [...first.values()];
    const { task, image, event, fault } = this.#rows;
    const { rows } = await this.#database.run<{ id: TaskId }>({
      name: 'change tasks',
      text: this.#write,
      values: [
        JSON.stringify(
          entries.map(({ task: { id }, image: { id: imageId }, versions }) => ({
            task_id: id,
            task_version: versions.task,
            image_id: imageId,
            image_version: versions.image,
          })),
        ),
        JSON.stringify(entries.map((entry) => task.rowOf(entry.task))),
        JSON.stringify(
          entries
            .filter(({ changedOfImage }) => changedOfImage.length > 0)
            .map((entry) => image.rowOf(entry.image)),
        ),
        JSON.stringify(entries.flatMap(({ rows }) => rows.of(Fault).map(fault.rowOf))),
        JSON.stringify(entries.flatMap(({ rows }) => rows.of(TaskEvent).map(event.rowOf))),
        JSON.stringify(
          entries.flatMap(({ task: { id }, rows: { segments } }) =>
            segments.map((segment) => ({
              task_id: id,
              id: segment.id,
              blob_id: segment.blobId,
              start_offset: segment.startOffset,
              length: segment.length,
              stored_bytes: segment.storedBytes,
              writer_epoch: segment.writerEpoch,
              create_time: segment.createTime,
            })),
          ),
        ),
        JSON.stringify(
          entries.flatMap(({ task: { id }, now, rows: { blobStates } }) =>
            blobStates.map((blob) => ({ task_id: id, ...blob, update_time: now })),
          ),
        ),
        severalProjects(entries.filter(mayCount).map(({ task: { projectId } }) => projectId)),
      ],
    });
    const written = new Set(rows.map(({ id }) => id));
    return all.map((entry) => first.get(entry.image.id) === entry && written.has(entry.task.id));
  }
}

/** Whether a change may change what is counted of its project. */
function mayCount({ changedOfTask, changedOfImage, rows }: UnlockedEntry): boolean {
  return (
    changedOfTask.includes('state') ||
    changedOfTask.includes('storedBytes') ||
    changedOfImage.includes('state') ||
    rows.segments.length > 0 ||
    rows.blobStates.length > 0
  );
}

function outside<T>(allowed: readonly T[], found: readonly T[]): T[] {
  return found.filter((one) => !allowed.includes(one));
}

/**
 * Locks each image and then its task, in this order as everywhere, if both are of the version that was read; then
 * writes all rows of those that it could lock. All by primary keys. At last, before the triggers that count, what is
 * counted of several projects is locked in one order.
 *
 * A row that was changed after the statement's snapshot is looked at again once it is locked, as it is then
 * (PostgreSQL's READ COMMITTED): its `xmin` is another one by then.
 */
function writeText({
  task,
  image,
  event,
  fault,
}: Readonly<
  Record<'task' | 'image' | 'event' | 'fault', { readonly columns: readonly string[] }>
>) {
  const assignments = ({ columns }: { readonly columns: readonly string[] }): string =>
    columns
      .filter((column) => column !== 'id')
      .map((column) => `${column} = new.${column}`)
      .join(', ');
  const list = ({ columns }: { readonly columns: readonly string[] }): string => columns.join(', ');
  return `
    with change as (
      select * from json_to_recordset($1)
        as change (task_id uuid, task_version xid, image_id uuid, image_version xid)
    ), locked_image as materialized (
      select image.id, change.task_id, change.task_version
        from change
        join images as image on image.id = change.image_id and image.xmin = change.image_version
       order by image.id
         for no key update of image skip locked
    ), locked as materialized (
      select task.id, task.image_id
        from locked_image
        join tasks as task on task.id = locked_image.task_id
                          and task.image_id = locked_image.id
                          and task.xmin = locked_image.task_version
         for no key update of task skip locked
    ), changed_task as (
      update tasks set ${assignments(task)}
        from json_populate_recordset(null::tasks, $2) as new
       where tasks.id = new.id and new.id in (select id from locked)
      returning 1
    ), changed_image as (
      update images set ${assignments(image)}
        from json_populate_recordset(null::images, $3) as new
       where images.id = new.id and new.id in (select image_id from locked)
      returning 1
    ), added_fault as (
      insert into faults (${list(fault)})
      select ${list(fault)} from json_populate_recordset(null::faults, $4)
       where task_id in (select id from locked)
    ), added_event as (
      insert into task_events (${list(event)})
      select ${list(event)} from json_populate_recordset(null::task_events, $5)
       where task_id in (select id from locked)
    ), put_segment as (
      insert into blob_segments (id, blob_id, start_offset, length, stored_bytes, writer_epoch, create_time)
      select id, blob_id, start_offset, length, stored_bytes, writer_epoch, create_time
        from json_to_recordset($6) as segment (
               task_id uuid, id uuid, blob_id uuid, start_offset bigint, length bigint,
               stored_bytes bigint, writer_epoch bigint, create_time timestamptz)
       where task_id in (select id from locked)
          on conflict (id) do update
         set length = excluded.length, stored_bytes = excluded.stored_bytes, writer_epoch = excluded.writer_epoch
      returning 1
    ), changed_blob as (
      update blobs set state = new.state, update_time = new.update_time
        from json_to_recordset($7) as new (task_id uuid, id uuid, state text, update_time timestamptz)
       where blobs.id = new.id and new.task_id in (select id from locked)
      returning 1
    ), counted as materialized (
      select case when cardinality($8::text[]) > 0 then quota_lock($8) end
        from (select count(*) as rows
                from (table changed_task union all table changed_image union all table put_segment
                      union all table changed_blob) as every) as changes
       where rows >= 0
    )
    select id from locked cross join counted`;
}
