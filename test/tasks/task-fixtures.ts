import { onTestFinished } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { defaultCaller, type Caller } from '../../src/access/caller.ts';
import { newId, type ImageId, type TaskId } from '../../src/records/ids.ts';
import { Image } from '../../src/records/image.ts';
import { TaskFeed } from '../../src/tasks/watching/task-feed.ts';
import { databaseTime } from '../../src/database/database-time.ts';
import { noFacts } from '../../src/tasks/ledger/ledger-facts.ts';
import { TrackedRows } from '../../src/tasks/ledger/ledger-rows.ts';
import { openTask, type NewTask } from '../../src/tasks/ledger/open-task.ts';
import { TaskLedger } from '../../src/tasks/ledger/task-ledger.ts';
import type { FaultReport } from '../../src/tasks/ledger/fault-report.ts';
import type { LedgerEntry } from '../../src/tasks/ledger/ledger-entry.ts';
import type { TaskFilter } from '../../src/tasks/reading/list-requests.ts';
import { TaskReader } from '../../src/tasks/reading/task-reader.ts';
import { TaskTrails } from '../../src/tasks/watching/task-trail.ts';
import { WatchPlaces, type WatchLimits } from '../../src/tasks/watching/watch-places.ts';
import { Task } from '../../src/records/task.ts';
import type { OpenDatabase } from '../support/test-database.ts';

/** A member of the project in which the fixtures make their images. */
export const member: Caller = { ...defaultCaller, userId: 'ann', role: 'member' };

/** Somebody from elsewhere. */
export const stranger: Caller = { projectId: 'elsewhere', userId: 'eve', role: 'member' };

export const fault: FaultReport = {
  reason: 'DISK_READ_FAILED',
  code: 13,
  message: 'The disk of the instance could not be read.',
  origin: 'PRODUCER',
  retryable: true,
};

/** The filter that shows all tasks of a project. */
export const anyTask: TaskFilter = {
  states: [],
  types: [],
  imageId: undefined,
  labels: {},
  createdAfter: undefined,
  createdBefore: undefined,
  updatedAfter: undefined,
  updatedBefore: undefined,
  hasFaults: undefined,
};

/** A new image with its first task, PENDING. */
export async function makeTask(
  database: Database,
  spec: Partial<NewTask> & { readonly caller?: Caller } = {},
): Promise<{ readonly taskId: TaskId; readonly imageId: ImageId }> {
  const { caller = member, ...rest } = spec;
  return database.fork().transactional(async (em) => {
    const now = await databaseTime(em);
    const image = em.create(Image, {
      id: newId<ImageId>(),
      projectId: caller.projectId,
      createdBy: caller.userId,
      name: 'image',
      diskFormat: 'RAW',
      containerFormat: 'BARE',
      state: 'QUEUED',
      outlook: 'EXPECTED',
      minDiskBytes: 0,
      minRamBytes: 0,
      properties: {},
      tags: [],
      visibility: 'PRIVATE',
      protected: false,
      hidden: false,
      deactivated: false,
      version: 1,
      createTime: now,
      updateTime: now,
    });
    em.persist(image);
    const task = openTask(new TrackedRows(em, now), image, caller, now, {
      type: 'SNAPSHOT',
      requestId: null,
      labels: {},
      expectedSize: null,
      expectedSha256: null,
      expectedSha512: null,
      source: null,
      decompress: false,
      idleTimeoutMs: 900_000,
      cause: 'made by a test',
      ...rest,
    });
    return { taskId: task.id, imageId: image.id };
  });
}

/** Changes a task as the service itself does. */
export async function change<T>(
  database: Database,
  taskId: TaskId,
  work: (entry: LedgerEntry) => Promise<T> | T,
): Promise<T> {
  return new TaskLedger(database).change(taskId, undefined, work);
}

/** Changes a task as what is hot does, without a lock. */
export async function changeAtOnce<T>(
  database: Database,
  taskId: TaskId,
  work: (entry: LedgerEntry) => T,
): Promise<T> {
  return new TaskLedger(database).changeAtOnce(taskId, undefined, noFacts, work);
}

/** The two roads of the ledger. */
export const roads = { change, changeAtOnce } as const;

/** What a commit of an upload does: no event, no notification. */
export async function commitBytes(
  database: Database,
  taskId: TaskId,
  committedSize: number,
): Promise<void> {
  await database.pool.query(
    `update tasks
        set committed_size = $2, stored_bytes = $2, update_time = clock_timestamp(),
            expire_time = clock_timestamp() + idle_timeout_ms * interval '1 ms'
      where id = $1`,
    [taskId, committedSize],
  );
}

/** The row as it is. */
export async function readTask(database: Database, taskId: TaskId): Promise<Task> {
  return database.fork().findOneOrFail(Task, { id: taskId });
}

/** The revisions of a task's events, in their order. */
export async function readRevisions(database: Database, taskId: TaskId): Promise<number[]> {
  const { rows } = await database.pool.query<{ revision: string }>(
    'select revision from task_events where task_id = $1 order by revision',
    [taskId],
  );
  return rows.map(({ revision }) => Number(revision));
}

/** What watches of one process read from; closed when the test is finished. */
export interface WatchProcess {
  readonly database: Database;
  readonly feed: TaskFeed;
  readonly reader: TaskReader;
  readonly trails: TaskTrails;
  readonly places: WatchPlaces;
}

/** A feed of its own on a database: a process as far as watches go. */
export function startWatchProcess(
  { database, url }: OpenDatabase,
  onWarning: (message: string) => void = () => {},
  limits: Partial<WatchLimits> = {},
): WatchProcess {
  const feed = new TaskFeed({ database, url, onWarning });
  feed.start();
  onTestFinished(() => feed.close());
  const reader = new TaskReader(database);
  const places = new WatchPlaces({ maxWatches: 100, maxWatchesPerCaller: 100, ...limits });
  return { database, feed, reader, places, trails: new TaskTrails(reader, feed, places) };
}
