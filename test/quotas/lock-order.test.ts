import { describe, expect, onTestFinished, test } from 'vitest';
import { Database } from '../../src/database/database.ts';
import type { TaskId } from '../../src/records/ids.ts';
import { noFacts } from '../../src/tasks/ledger/ledger-facts.ts';
import { TaskLedger } from '../../src/tasks/ledger/task-ledger.ts';
import { expireTasks } from '../../src/tasks/upkeep/expire-tasks.ts';
import { HistoryPruner } from '../../src/tasks/upkeep/prune-history.ts';
import { imagesOn, newImage } from '../images/images-world.ts';
import { patience } from '../support/held-upload.ts';
import { openDatabase, type OpenDatabase } from '../support/test-database.ts';
import { openUploadWorld } from '../support/upload-world.ts';
import { fault, makeTask, member } from '../tasks/task-fixtures.ts';
import { countedAndTrue, quotasOn } from './quota-world.ts';

/** In the order in which PostgreSQL has them. */
const projects = Array.from({ length: 16 }, (_, i) => `project-${String(i).padStart(2, '0')}`);

interface MadeTask {
  readonly taskId: TaskId;
  readonly projectId: string;
}

/** A task for each project, with some bytes of its own, in the order of the projects. */
async function makeTasks(database: Database): Promise<readonly MadeTask[]> {
  const made: MadeTask[] = [];
  for (const projectId of projects) {
    const { taskId } = await makeTask(database, { caller: { ...member, projectId } });
    made.push({ taskId, projectId });
  }
  await database.pool.query(
    `insert into blob_segments (id, blob_id, start_offset, length, stored_bytes, writer_epoch, create_time)
     select gen_random_uuid(), blob_id, 0, 10, 10, 1, now() from tasks where id = any($1)`,
    [made.map(({ taskId }) => taskId)],
  );
  return made;
}

/** Ends tasks, in one batch. */
async function failAll(ledger: TaskLedger, tasks: readonly MadeTask[]): Promise<void> {
  await Promise.all(
    tasks.map(({ taskId }) =>
      ledger.changeAtOnce(taskId, undefined, noFacts, (entry) => void entry.fail(fault)),
    ),
  );
}

/** Another process on a database. */
async function anotherProcess({ url }: OpenDatabase): Promise<Database> {
  const database = await Database.connect({ url, poolSize: 4, onWarning: () => {} });
  onTestFinished(() => database.close());
  return database;
}

/** Deadlocks that PostgreSQL has found and ended, by making somebody fail. */
async function deadlocks({ pool }: Database): Promise<number> {
  const client = await pool.connect();
  try {
    // What is counted is told a moment after it happened.
    await client.query('select pg_stat_force_next_flush()');
    const { rows } = await client.query<{ deadlocks: string }>(
      'select deadlocks from pg_stat_database where datname = current_database()',
    );
    return Number(rows[0]?.deadlocks);
  } finally {
    client.release();
  }
}

/** What changes something of many projects at once. */
interface Work {
  /** Brings tasks of all projects to where there is something to do, to be met in the order given. */
  readonly prepare?: (database: Database, tasks: readonly MadeTask[]) => Promise<unknown>;
  readonly act: (database: Database, tasks: readonly MadeTask[]) => Promise<unknown>;
}

const endedAsOrdered: Work['prepare'] = async (database, tasks) => {
  await failAll(new TaskLedger(database), tasks);
  await orderTimes(database, tasks, 'finish_time');
};

const works: Readonly<Record<string, Work>> = {
  'changes of tasks': { act: (database, tasks) => failAll(new TaskLedger(database), tasks) },
  'new images': {
    act: (database, tasks) =>
      Promise.all(
        tasks.map(({ projectId }) =>
          imagesOn(database).images.createImage({ ...member, projectId }, newImage()),
        ),
      ),
  },
  expiry: {
    prepare: (database, tasks) => orderTimes(database, tasks, 'expire_time'),
    act: (database) => expireTasks(database, () => false),
  },
  pruning: {
    async prepare(database, tasks) {
      await endedAsOrdered?.(database, tasks);
      // The last task of an image is kept.
      await database.pool.query('update images set latest_task_id = null');
    },
    act: (database) => new HistoryPruner(database, 1000).prune(() => false),
  },
  repair: {
    prepare: endedAsOrdered,
    act: async (database) => (await openUploadWorld(database)).repair.run(),
  },
};

/** Has the tasks be found in their order by who goes by a time that has passed. */
async function orderTimes(
  { pool }: Database,
  tasks: readonly MadeTask[],
  column: 'expire_time' | 'finish_time',
): Promise<void> {
  await pool.query(
    `update tasks set ${column} = now() - interval '1 day' + n * interval '1 second'
       from unnest($1::uuid[]) with ordinality as given (id, n) where tasks.id = given.id`,
    [tasks.map(({ taskId }) => taskId)],
  );
}

/** Resolves when so many statements wait for locks. */
async function untilWaiting({ pool }: Database, count: number): Promise<void> {
  await expect
    .poll(async () => {
      const { rows } = await pool.query<{ waiting: number }>(
        `select count(*)::int as waiting from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return rows[0]?.waiting;
    }, patience)
    .toBe(count);
}

describe.each(Object.entries(works))('%s of many counted projects', (_, { prepare, act }) => {
  test.each([
    ['in their order', (tasks: readonly MadeTask[]) => tasks],
    ['in the opposite order', (tasks: readonly MadeTask[]) => tasks.toReversed()],
  ])('%s and changes in the other never wait in a circle', async (__, ordered) => {
    const opened = await openDatabase();
    const { database } = opened;
    const other = await anotherProcess(opened);
    for (const projectId of projects) {
      await quotasOn(database).update(projectId, { images: 1000 }, undefined);
    }
    const tasks = ordered(await makeTasks(database));
    const others = ordered(await makeTasks(database)).toReversed();
    await prepare?.(database, tasks);
    const before = await deadlocks(database);

    // Whoever comes to the project in the middle has locked all before it, and waits there for the other.
    const blocker = await database.pool.connect();
    await blocker.query('begin');
    await blocker.query('select from project_quotas where project_id = $1 for update', [
      projects[projects.length / 2],
    ]);
    const all = [act(database, tasks), failAll(new TaskLedger(other), others)];
    await untilWaiting(database, 2);
    await blocker.query('commit');
    blocker.release();
    await Promise.all(all);

    expect((await deadlocks(database)) - before).toBe(0);
    for (const projectId of projects) {
      const { counted, truth } = await countedAndTrue(database, projectId);
      expect(counted).toEqual(truth);
    }
  });
});
