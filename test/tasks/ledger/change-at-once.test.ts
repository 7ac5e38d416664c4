import type { PoolClient } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { TaskId } from '../../../src/records/ids.ts';
import type { LedgerEntry } from '../../../src/tasks/ledger/ledger-entry.ts';
import { noFacts } from '../../../src/tasks/ledger/ledger-facts.ts';
import { TaskLedger } from '../../../src/tasks/ledger/task-ledger.ts';
import { observed } from '../../support/observed-database.ts';
import { useDatabase } from '../../support/test-database.ts';
import {
  change,
  commitBytes,
  makeTask,
  member,
  readRevisions,
  readTask,
} from '../task-fixtures.ts';

const database = useDatabase(16);

/** Somebody who holds a lock until the test lets go of it. */
async function lockedBy(sql: string, id: string): Promise<{ release: () => Promise<void> }> {
  const client: PoolClient = await database().pool.connect();
  let isHeld = true;
  const release = async (): Promise<void> => {
    if (isHeld) {
      isHeld = false;
      await client.query('commit');
      client.release();
    }
  };
  onTestFinished(release);
  await client.query('begin');
  await client.query(sql, [id]);
  return { release };
}

const survive = (ledger: TaskLedger, taskId: TaskId): Promise<number> =>
  ledger.changeAtOnce(taskId, undefined, noFacts, (entry) => {
    entry.changeWriter('test');
    return entry.task.revision;
  });

test('changes of many tasks at the same time share one read and one write', async () => {
  const tasks = await Promise.all(Array.from({ length: 10 }, () => makeTask(database())));
  const { watched, names } = observed(database());
  const ledger = new TaskLedger(watched);
  const revisions = await Promise.all(tasks.map(({ taskId }) => survive(ledger, taskId)));
  expect(new Set(revisions)).toEqual(new Set([2]));
  expect(names).toEqual(['tasks to change: alone', 'change tasks']);
  for (const { taskId } of tasks) {
    expect(await readRevisions(database(), taskId)).toEqual([1, 2]);
  }
});

test('changes of one task at the same time are all made, one after the other', async () => {
  const { taskId } = await makeTask(database());
  const ledger = new TaskLedger(database());
  const revisions = await Promise.all(Array.from({ length: 10 }, () => survive(ledger, taskId)));
  expect(revisions.toSorted((a, b) => a - b)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  expect(await readRevisions(database(), taskId)).toHaveLength(11);
});

describe('what is decided by what is not so any more is decided again', () => {
  test.each([
    ['the bytes that are committed', (taskId: TaskId) => commitBytes(database(), taskId, 7)],
    ['a state', (taskId: TaskId) => change(database(), taskId, (entry) => entry.cancel('test'))],
    [
      'the image',
      async (taskId: TaskId) => {
        const { imageId } = await readTask(database(), taskId);
        await database().pool.query(`update images set name = 'x' where id = $1`, [imageId]);
      },
    ],
  ])('%s changes between the read and the write', async (_, meanwhile) => {
    const { taskId } = await makeTask(database());
    const { watched } = observed(database(), async (name) => {
      if (name.startsWith('tasks to change')) {
        await meanwhile(taskId);
      }
    });
    const seen: unknown[] = [];
    await new TaskLedger(watched).changeAtOnce(taskId, undefined, noFacts, ({ task }) => {
      seen.push({ state: task.state, committedSize: task.committedSize });
      task.message = 'changed';
    });
    const { state, committedSize, message } = await readTask(database(), taskId);
    expect(seen).toHaveLength(2);
    expect(seen[1]).toEqual({ state, committedSize });
    expect(message).toBe('changed');
  });
});

describe('a lock that somebody holds', () => {
  test.each([
    [
      'the image',
      'select from images where id = (select image_id from tasks where id = $1) for update',
    ],
    ['the task', 'select from tasks where id = $1 for update'],
  ])('on %s is waited for, and delays nobody else', async (_, sql) => {
    const held = await makeTask(database());
    const free = await makeTask(database());
    const lock = await lockedBy(sql, held.taskId);
    const ledger = new TaskLedger(database());
    let isDone = false;
    const waiting = survive(ledger, held.taskId).then((revision) => {
      isDone = true;
      return revision;
    });
    expect(await survive(ledger, free.taskId)).toBe(2);
    expect(await survive(ledger, free.taskId)).toBe(3);
    expect(isDone).toBe(false);
    await lock.release();
    expect(await waiting).toBe(2);
    expect(await readRevisions(database(), held.taskId)).toEqual([1, 2]);
  });
});

test('a write whose answer is lost is not done twice by who looks before doing it again', async () => {
  const { taskId } = await makeTask(database());
  let isLost = false;
  const { watched } = observed(database(), (name) => {
    if (name === 'change tasks' && !isLost) {
      isLost = true;
      throw new Error('Connection terminated unexpectedly');
    }
  });
  const ledger = new TaskLedger(watched);
  const cancel = (): Promise<string> =>
    ledger.changeAtOnce(taskId, undefined, noFacts, (entry) => {
      if (entry.task.state !== 'CANCELLED') {
        entry.cancel('test');
      }
      return entry.task.state;
    });
  await expect(cancel()).rejects.toThrow('Connection terminated');
  expect(await cancel()).toBe('CANCELLED');
  expect(await readRevisions(database(), taskId)).toEqual([1, 2]);
});

test('a task whose time has passed fails, and that is told', async () => {
  const { taskId } = await makeTask(database());
  await database().pool.query('update tasks set expire_time = now() where id = $1', [taskId]);
  await expect(survive(new TaskLedger(database()), taskId)).rejects.toMatchObject({
    reason: 'TASK_EXPIRED',
  });
  expect(await readTask(database(), taskId)).toMatchObject({ state: 'FAILED', faultCount: 1 });
});

test('what throws has changed nothing', async () => {
  const { taskId } = await makeTask(database());
  const before = await readTask(database(), taskId);
  const outcome = new TaskLedger(database()).changeAtOnce(taskId, undefined, noFacts, (entry) => {
    entry.changeWriter('test');
    throw new Error('thought better of it');
  });
  await expect(outcome).rejects.toThrow('thought better of it');
  expect(await readTask(database(), taskId)).toEqual(before);
});

test('what is not its to change is refused before anything is written', async () => {
  const { taskId } = await makeTask(database());
  const ledger = new TaskLedger(database());
  const before = await readTask(database(), taskId);
  for (const work of [
    (entry: LedgerEntry) => {
      entry.task.labels = { a: 'b' };
    },
    (entry: LedgerEntry) => {
      entry.fail({ reason: 'X', code: 13, message: '', origin: 'SERVER', retryable: false });
      entry.retry(null, member, true, 'test');
    },
  ]) {
    await expect(ledger.changeAtOnce(taskId, undefined, noFacts, work)).rejects.toThrow(
      'under the task’s lock only',
    );
  }
  expect(await readTask(database(), taskId)).toEqual(before);
});

test('a task of another project is not there', async () => {
  const { taskId } = await makeTask(database());
  const stranger = { ...member, projectId: 'elsewhere' };
  await expect(
    new TaskLedger(database()).changeAtOnce(taskId, stranger, noFacts, () => {}),
  ).rejects.toMatchObject({ reason: 'TASK_NOT_FOUND' });
});
