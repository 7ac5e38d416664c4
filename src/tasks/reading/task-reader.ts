import type { Database } from '../../database/database.ts';
import type { FaultId, TaskId } from '../../records/ids.ts';
import { askedKey, askedRowsForProjects, askedValues } from '../../database/asked-rows.ts';
import { BatchedRead } from '../../database/batched-read.ts';
import { toldProject } from '../../database/reads-for-projects.ts';
import { ownFaults } from '../../access/find-fault.ts';
import { isOwnSql } from '../../access/rights.ts';
import { rowSource, type RawRow, type RowSource } from '../../database/entity-rows.ts';
import type { Fault } from '../../records/fault.ts';
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
  /** Whose the task must be. */
  readonly projectId: string;
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
 * together in the next one, so that ten thousand watchers need two connections. Each is read for a project, behind the
 * second wall where there is one.
 */
export class TaskReader {
  readonly #database: Database;
  readonly #snapshots: BatchedRead<string, TaskSnapshot>;
  readonly #events: BatchedRead<EventSpan, readonly EventRecord[]>;
  readonly #projects: BatchedRead<TaskId, string>;
  readonly #tasksTable: RowSource<Task>;
  readonly #eventsTable: RowSource<TaskEvent>;
  readonly #taskById: string;
  readonly #eventsOfSpans: string;

  constructor(database: Database) {
    this.#database = database;
    this.#snapshots = new BatchedRead((keys) => this.#readSnapshots(keys), maxBatch);
    this.#events = new BatchedRead((spans) => this.#readEvents(spans), maxBatch);
    this.#projects = new BatchedRead((ids) => this.#readProjects(ids), maxBatch);
    this.#tasksTable = rowSource(database, Task);
    this.#eventsTable = rowSource(database, TaskEvent);
    // By primary key.
    this.#taskById = askedRowsForProjects({
      columns: this.#tasksTable.columns,
      from: 'tasks',
      where: `tasks.id = asked_id and ${isOwnSql('tasks', 'asked_project')}`,
    });
    // Nested loop: the beginning of each span, by the primary key (task_id, revision), once it was told for whom.
    this.#eventsOfSpans = `
      select span.number, e.*
        from (select task_id, after, up_to, number, ${toldProject('project')} as project
                from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[])
                     with ordinality as span (task_id, after, up_to, project, number)) as span
       cross join lateral (
             ${this.#eventsTable.select}
              where task_id = span.task_id and revision > span.after and revision <= span.up_to
                and exists (select from tasks where tasks.id = span.task_id and ${isOwnSql('tasks', 'span.project')})
              order by revision
              limit $5) e
       order by span.number, e.revision`;
  }

  /**
   * Reads a task of a project as it is after the call; undefined if there is none.
   *
   * @throws the driver's errors.
   */
  snapshot(taskId: TaskId, projectId: string): Promise<TaskSnapshot | undefined> {
    return this.#snapshots.read(askedKey(taskId, projectId));
  }

  /**
   * Reads whose a task is; undefined if there is none. Not for callers: so that those who hear of the changes of all
   * projects need not ask for each of them.
   *
   * @throws as `snapshot`.
   */
  projectOf(taskId: TaskId): Promise<string | undefined> {
    return this.#projects.read(taskId);
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
    const [, , projects] = askedValues(keys);
    const projectOf = new Map(keys.map((key, i) => [key, projects[i] ?? '']));
    const rows = await this.#query('tasks that are watched', this.#taskById, askedValues(keys));
    return new Map(
      await Promise.all(
        rows.map(async (row) => {
          const key = String(row['asked_key']);
          const task = this.#tasksTable.entityOf(row);
          const lastFault = await this.#readFault(projectOf.get(key) ?? '', task.lastFaultId);
          return [key, { task, lastFault }] as const;
        }),
      ),
    );
  }

  async #readEvents(spans: readonly EventSpan[]): Promise<Map<EventSpan, readonly EventRecord[]>> {
    const rows = await this.#query('events of spans', this.#eventsOfSpans, [
      spans.map((span) => span.taskId),
      spans.map((span) => span.after),
      spans.map((span) => span.upTo),
      spans.map((span) => span.projectId),
      maxEventsOfSpan,
    ]);
    const records = await Promise.all(
      rows.map(async (row) => {
        const event = this.#eventsTable.entityOf(row);
        const span = spans[Number(row['number']) - 1];
        return { event, fault: await this.#readFault(span?.projectId ?? '', event.faultId) };
      }),
    );
    const bySpan = Map.groupBy(records, (_, i) => Number(rows[i]?.['number']));
    return new Map(spans.map((span, i) => [span, bySpan.get(i + 1) ?? []]));
  }

  async #readProjects(ids: readonly TaskId[]): Promise<Map<TaskId, string>> {
    const { rows } = await this.#database.run<{ id: TaskId; project_id: string }>({
      name: 'projects of tasks',
      text: 'select id, project_id from tasks where id = any ($1)',
      values: [ids],
      timeoutMs: queryTimeoutMs,
    });
    return new Map(rows.map(({ id, project_id: projectId }) => [id, projectId]));
  }

  async #readFault(
    projectId: string,
    id: FaultId | null | undefined,
  ): Promise<Readonly<Fault> | undefined> {
    return id == null ? undefined : ownFaults(this.#database).read(projectId, id);
  }

  async #query(name: string, text: string, values: readonly unknown[]): Promise<readonly RawRow[]> {
    const statement = { name, text, values, timeoutMs: queryTimeoutMs };
    return (await this.#database.runForProjects<RawRow>(statement)).rows;
  }
}
