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
import { changeTasksText } from './change-tasks-text.ts';
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
  /** Of one project, and of several. */
  readonly #write: readonly [one: string, several: string];

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
    this.#write = [changeTasksText(this.#rows, false), changeTasksText(this.#rows, true)];
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
    const several = severalProjects(
      entries.filter(mayCount).map(({ task: { projectId } }) => projectId),
    );
    const { rows } = await this.#database.run<{ id: TaskId }>({
      name: several.length > 0 ? 'change tasks of projects' : 'change tasks',
      text: this.#write[several.length > 0 ? 1 : 0],
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
        ...(several.length > 0 ? [several] : []),
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
