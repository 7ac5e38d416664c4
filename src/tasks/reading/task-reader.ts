import type { Database } from '../../database/database.ts';
import type { FaultId, TaskId } from '../../records/ids.ts';
import { askedKey, askedRows, askedValues } from '../../database/asked-rows.ts';
import { BatchedRead } from '../../database/batched-read.ts';
import { rowSource, type RawRow, type RowSource } from '../../database/entity-rows.ts';
import { Fault } from '../../records/fault.ts';
import { TaskEvent } from '../../records/task-event.ts';
import { Task } from '../../records/task.ts';

/** A task with its newest fault, as one read found them. Never changed, so that many may share it. */
export interface TaskSnapshot {
  readonly task: Readonly<Task>;
  /** Undefined where there is none, or where it was pruned. */
  readonly lastFault: Readonly<Fault> | undefined;
}

/** An event with the fault that it tells of. Never changed, so that many may share it. */
export interface EventRecord {
  readonly event: Readonly<TaskEvent>;
  readonly fault: Readonly<Fault> | undefined;
}

/** Which events of a task are wanted: those of the revisions above `after` and up to `upTo`, the first of them. */
export interface EventSpan {
  readonly taskId: TaskId;
  readonly after: number;
  readonly upTo: number;
}

/** Tasks or spans of one query. */
const maxBatch = 500;
/** A connection that says nothing for so long is given up, in ms; else all watches would wait for it. */
const queryTimeoutMs = 10_000;
/** Events of one span that are read at once: what a slow reader holds in memory. */
const maxEventsOfSpan = 32;

/**
 * Reads tasks and events for those who watch. What is asked for while a query is under way goes out
 * together in the next one, so that ten thousand watchers need two connections.
 */
export class TaskReader {
  readonly #database: Database;
  readonly #snapshots: BatchedRead<string, TaskSnapshot>;
  readonly #events: BatchedRead<EventSpan, readonly EventRecord[]>;
  readonly #tasksTable: RowSource<Task>;
  readonly #eventsTable: RowSource<TaskEvent>;
  readonly #faultsTable: RowSource<Fault>;
  readonly #eventsOfSpans: string;

  constructor(database: Database) {
    this.#database = database;
    this.#snapshots = new BatchedRead((keys) => this.#readSnapshots(keys), maxBatch);
    this.#events = new BatchedRead((spans) => this.#readEvents(spans), maxBatch);
    this.#tasksTable = rowSource(database, Task);
    this.#eventsTable = rowSource(database, TaskEvent);
    this.#faultsTable = rowSource(database, Fault);
    // Nested loop: the beginning of each span, by the primary key (task_id, revision).
    this.#eventsOfSpans = `
      select span.number, e.*
        from unnest($1::uuid[], $2::bigint[], $3::bigint[])
             with ordinality as span (task_id, after, up_to, number)
       cross join lateral (
             ${this.#eventsTable.select}
              where task_id = span.task_id and revision > span.after and revision <= span.up_to
              order by revision
              limit $4) e
       order by span.number, e.revision`;
  }

  /**
   * Reads a task as it is after the call; undefined if there is none.
   *
   * @param projectId whose the task must be; undefined for any.
   * @throws the driver's errors.
   */
  snapshot(taskId: TaskId, projectId: string | undefined): Promise<TaskSnapshot | undefined> {
    return this.#snapshots.read(askedKey(taskId, projectId));
  }

  /**
   * Reads the first 32 events of a span in the order of their revisions, without those that were pruned.
   *
   * @throws as `snapshot`.
   */
  async events(span: EventSpan): Promise<readonly EventRecord[]> {
    return (await this.#events.read(span)) ?? [];
  }

  async #readSnapshots(keys: readonly string[]): Promise<Map<string, TaskSnapshot>> {
    const { select, entityOf } = this.#tasksTable;
    // By primary key, as the faults.
    const rows = await this.#query(
      'tasks that are watched',
      askedRows(
        `${select} where tasks.id = asked_id and tasks.project_id = coalesce(asked_project, tasks.project_id)`,
      ),
      [...askedValues(keys)],
    );
    const tasks = rows.map((row) => ({ key: String(row['asked_key']), task: entityOf(row) }));
    const faults = await this.#readFaults(tasks.map(({ task }) => task.lastFaultId));
    return new Map(
      tasks.map(({ key, task }) => [
        key,
        { task, lastFault: task.lastFaultId ? faults.get(task.lastFaultId) : undefined },
      ]),
    );
  }

  async #readEvents(spans: readonly EventSpan[]): Promise<Map<EventSpan, readonly EventRecord[]>> {
    const rows = await this.#query('events of spans', this.#eventsOfSpans, [
      spans.map((span) => span.taskId),
      spans.map((span) => span.after),
      spans.map((span) => span.upTo),
      maxEventsOfSpan,
    ]);
    const events = rows.map(this.#eventsTable.entityOf);
    const faults = await this.#readFaults(events.map((event) => event.faultId));
    const records = events.map((event) => ({
      event,
      fault: event.faultId ? faults.get(event.faultId) : undefined,
    }));
    const bySpan = Map.groupBy(records, (_, i) => Number(rows[i]?.['number']));
    return new Map(spans.map((span, i) => [span, bySpan.get(i + 1) ?? []]));
  }

  async #readFaults(ids: readonly (FaultId | null | undefined)[]): Promise<Map<FaultId, Fault>> {
    const wanted = ids.filter((id) => id != null);
    if (wanted.length === 0) {
      return new Map();
    }
    const { select, entityOf } = this.#faultsTable;
    const rows = await this.#query('faults by id', `${select} where id = any($1)`, [wanted]);
    return new Map(rows.map(entityOf).map((fault) => [fault.id, fault]));
  }

  async #query(name: string, text: string, values: unknown[]): Promise<readonly RawRow[]> {
    const statement = { name, text, values, timeoutMs: queryTimeoutMs };
    return (await this.#database.run<RawRow>(statement)).rows;
  }
}
