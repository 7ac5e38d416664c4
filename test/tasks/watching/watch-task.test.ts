import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { newId, type TaskId } from '../../../src/records/ids.ts';
import { decodeResumeToken, encodeResumeToken } from '../../../src/tasks/watching/resume-token.ts';
import { watchTask } from '../../../src/tasks/watching/watch-task.ts';
import {
  change,
  commitBytes,
  fault,
  makeTask,
  member,
  readTask,
  startWatchProcess,
  stranger,
} from '../task-fixtures.ts';
import { openDatabase } from '../../support/test-database.ts';
import { kindsOf, revisionsOf, useWatchProcess, watch } from './watch-fixtures.ts';

const { database, process, another } = useWatchProcess();

const noSignals = {
  signal: new AbortController().signal,
  drainSignal: new AbortController().signal,
};
const defaults = { progressIntervalMs: undefined, heartbeatIntervalMs: undefined };

async function survive(taskId: TaskId, times: number, at = database()): Promise<void> {
  for (let i = 0; i < times; i++) {
    await change(at, taskId, (entry) => {
      entry.survive({ ...fault, message: `fault ${i}` });
    });
  }
}

describe('a watch', () => {
  test('tells a snapshot, each change once and in order, and ends after the terminal one', async () => {
    const { taskId } = await makeTask(database());
    const watching = watch(process(), taskId);
    await watching.until((messages) => messages.length === 1);
    await change(database(), taskId, (entry) => entry.start('RECEIVING', 'begun'));
    await survive(taskId, 1);
    await change(database(), taskId, (entry) => {
      entry.fail(fault);
    });
    await watching.ended;

    expect(kindsOf(watching.messages)).toEqual(['snapshot', 'update', 'update', 'update']);
    expect(revisionsOf(watching.messages)).toEqual([2, 3, 4]);
    const last = watching.messages.at(-1);
    expect(last).toMatchObject({
      record: { event: { state: 'FAILED', kind: 'FAULT' }, fault: { fatal: true } },
      snapshot: { task: { state: 'FAILED' }, lastFault: { reason: 'DISK_READ_FAILED' } },
    });
    expect(process().trails.size).toBe(0);
    expect(process().feed.size).toBe(0);
  });

  test('of a task that has ended is its snapshot and the end', async () => {
    const { taskId } = await makeTask(database());
    await change(database(), taskId, (entry) => entry.cancel('enough'));
    const watching = watch(process(), taskId);
    await watching.ended;
    expect(watching.messages).toMatchObject([
      { kind: 'snapshot', missedRevisions: 0, snapshot: { task: { state: 'CANCELLED' } } },
    ]);
  });

  test('is told at once, not at the next poll', async () => {
    const { taskId } = await makeTask(database());
    const watching = watch(process(), taskId);
    await watching.until((messages) => messages.length === 1);
    const delays = [];
    for (let i = 0; i < 5; i++) {
      const begun = performance.now();
      await survive(taskId, 1);
      await watching.until((messages) => messages.length === i + 2);
      delays.push(performance.now() - begun);
    }
    // The quickest: the machine may be busy with other tests. By the poll each takes the second until the next one.
    expect(Math.min(...delays)).toBeLessThan(700);
  });

  test('of another project’s task finds nothing', async () => {
    const { taskId } = await makeTask(database(), { caller: stranger });
    await expect(watch(process(), taskId).ended).rejects.toMatchObject({
      reason: 'TASK_NOT_FOUND',
    });
    await expect(watch(process(), newId<TaskId>()).ended).rejects.toMatchObject({
      reason: 'TASK_NOT_FOUND',
    });
  });

  test('refuses intervals out of range, all at once', async () => {
    const { taskId } = await makeTask(database());
    await expect(
      watch(process(), taskId, { progressIntervalMs: 99, heartbeatIntervalMs: Number.NaN }).ended,
    ).rejects.toMatchObject({
      fieldViolations: [{ field: 'progress_interval' }, { field: 'heartbeat_interval' }],
    });
  });
});

describe('a resume token', () => {
  test('goes on after its message, on another process', async () => {
    const { taskId } = await makeTask(database());
    const first = watch(process(), taskId);
    await first.until((messages) => messages.length === 1);
    await survive(taskId, 1);
    await first.until((messages) => messages.length === 2);
    first.leave();
    await survive(taskId, 3);

    const other = another();
    const second = watch(other, taskId, { resumeToken: first.messages.at(-1)?.resumeToken ?? '' });
    await second.until((messages) => messages.length === 3);
    await change(database(), taskId, (entry) => entry.cancel('enough'));
    await second.ended;
    expect(revisionsOf(first.messages)).toEqual([2]);
    expect(revisionsOf(second.messages)).toEqual([3, 4, 5, 6]);
  });

  test('after which nothing happened gets the progress at once', async () => {
    const { taskId } = await makeTask(database());
    await commitBytes(database(), taskId, 7);
    const resumeToken = encodeResumeToken(taskId, 1);
    const watching = watch(process(), taskId, { resumeToken });
    await watching.until((messages) => messages.length === 1);
    expect(watching.messages).toMatchObject([
      { kind: 'progress', task: { committedSize: 7 }, resumeToken },
    ]);
  });

  test('of an ended task goes on to the terminal event, and after that to the retry', async () => {
    const { taskId } = await makeTask(database());
    await change(database(), taskId, (entry) => entry.cancel('enough'));
    await change(database(), taskId, (entry) => {
      entry.retry(null, member, true, 'again');
    });
    const [atStart, atEnd, afterRetry] = [1, 2, 3].map((revision) =>
      watch(process(), taskId, { resumeToken: encodeResumeToken(taskId, revision) }),
    );
    await Promise.all([atStart?.ended, atEnd?.ended, afterRetry?.ended]);
    expect(revisionsOf(atStart?.messages ?? [])).toEqual([2]);
    expect(revisionsOf(atEnd?.messages ?? [])).toEqual([3]);
    expect(afterRetry?.messages).toEqual([]);
  });

  test('that was altered, is another task’s, or is ahead of the task is refused', async () => {
    const { taskId } = await makeTask(database());
    const token = encodeResumeToken(taskId, 1);
    expect(decodeResumeToken(token, taskId)).toBe(1);
    for (const resumeToken of [
      'garbage',
      token.slice(0, -1),
      `${token}A`,
      `${token.slice(0, 10)}${token[10] === 'A' ? 'B' : 'A'}${token.slice(11)}`,
      encodeResumeToken(newId<TaskId>(), 1),
      encodeResumeToken(taskId, 2),
    ]) {
      await expect(watch(process(), taskId, { resumeToken }).ended).rejects.toMatchObject({
        reason: 'RESUME_TOKEN_INVALID',
        fieldViolations: [{ field: 'resume_token' }],
      });
    }
  });
});

describe('history that was pruned', () => {
  test('becomes a snapshot that says how much is missing, and then the rest', async () => {
    const { taskId } = await makeTask(database());
    await survive(taskId, 5);
    await database().pool.query('delete from task_events where task_id = $1 and revision < 5', [
      taskId,
    ]);
    const watching = watch(process(), taskId, { resumeToken: encodeResumeToken(taskId, 2) });
    await watching.until((messages) => messages.length === 3);
    expect(watching.messages[0]).toMatchObject({
      kind: 'snapshot',
      missedRevisions: 2,
      snapshot: { task: { revision: 6 } },
      resumeToken: encodeResumeToken(taskId, 4),
    });
    expect(revisionsOf(watching.messages)).toEqual([5, 6]);
  });

  test('of an ended task is a snapshot and the end', async () => {
    const { taskId } = await makeTask(database());
    await change(database(), taskId, (entry) => entry.cancel('enough'));
    await database().pool.query('delete from task_events where task_id = $1', [taskId]);
    const watching = watch(process(), taskId, { resumeToken: encodeResumeToken(taskId, 1) });
    await watching.ended;
    expect(watching.messages).toMatchObject([{ kind: 'snapshot', missedRevisions: 1 }]);
  });
});

describe('what breaks on the way', () => {
  test('lost notifications are made up for by the poll', async () => {
    const deaf = await openDatabase();
    await deaf.database.pool.query('drop trigger task_events_notify on task_events');
    const { taskId } = await makeTask(deaf.database);
    const watching = watch(startWatchProcess(deaf), taskId);
    await watching.until((messages) => messages.length === 1);
    const begun = performance.now();
    await survive(taskId, 3, deaf.database);
    await watching.until((messages) => messages.length === 4);
    expect(performance.now() - begun).toBeLessThan(4000);
    expect(revisionsOf(watching.messages)).toEqual([2, 3, 4]);
  });

  test('the connection that listens may be cut again and again', async () => {
    const { taskId } = await makeTask(database());
    const watching = watch(process(), taskId);
    await watching.until((messages) => messages.length === 1);
    for (let i = 0; i < 10; i++) {
      await database().pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and application_name = 'darkroom listen'`,
      );
      await survive(taskId, 2);
    }
    await change(database(), taskId, (entry) => entry.cancel('enough'));
    await watching.ended;
    expect(revisionsOf(watching.messages)).toEqual(Array.from({ length: 21 }, (_, i) => i + 2));
  });

  test('so may all connections to the database, as when it restarts', async () => {
    const { taskId } = await makeTask(database());
    const watching = watch(process(), taskId);
    await watching.until((messages) => messages.length === 1);
    for (let i = 0; i < 3; i++) {
      await database().pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid()`,
      );
      // A connection that was cut is noticed when it is used, and fails that once.
      await expect
        .poll(
          () =>
            survive(taskId, 1).then(
              () => true,
              () => false,
            ),
          { timeout: 10_000 },
        )
        .toBe(true);
    }
    await change(database(), taskId, (entry) => entry.cancel('enough'));
    await watching.ended;
    const { revision } = await readTask(database(), taskId);
    expect(revisionsOf(watching.messages)).toEqual(
      Array.from({ length: revision - 1 }, (_, i) => i + 2),
    );
  });

  test('a reader who is too slow gets all events and only the newest progress', async () => {
    const { taskId } = await makeTask(database());
    const messages = watchTask(
      process().trails,
      member,
      { ...defaults, taskId, resumeToken: '', progressIntervalMs: 100 },
      noSignals,
    );
    await messages.next();
    for (let size = 1; size <= 5; size++) {
      await commitBytes(database(), taskId, size);
    }
    // More than one read of events holds, and more than are kept in memory.
    await survive(taskId, 100);
    const told = [];
    for (let i = 0; i < 100; i++) {
      told.push((await messages.next()).value);
      if (i % 20 === 0) {
        await delay(20);
      }
    }
    expect(revisionsOf(told.filter((message) => message !== undefined))).toEqual(
      Array.from({ length: 100 }, (_, i) => i + 2),
    );
    // In one, for the feed may look in between two.
    await commitBytes(database(), taskId, 7);
    expect((await messages.next()).value).toMatchObject({
      kind: 'progress',
      task: { committedSize: 7 },
    });
    await messages.return();
    expect(process().feed.size).toBe(0);
  });

  test('a caller who goes takes everything with him at once', async () => {
    const { taskId } = await makeTask(database());
    const watching = watch(process(), taskId);
    await watching.until((messages) => messages.length === 1);
    expect(process().feed.size).toBe(1);
    watching.leave();
    await expect(watching.ended).rejects.toThrow('the caller left');
    expect(process().feed.size).toBe(0);
    expect(process().trails.size).toBe(0);
  });

  test('a caller who goes during a read does not wait for it', async () => {
    const { taskId } = await makeTask(database());
    const locker = await database().pool.connect();
    await locker.query('begin; lock table tasks in access exclusive mode');
    const watching = watch(process(), taskId);
    await delay(50);
    watching.leave();
    await expect(watching.ended).rejects.toThrow('the caller left');
    await locker.query('rollback');
    locker.release();
  });

  test('a service that stops ends the watch and says when to come again', async () => {
    const { taskId } = await makeTask(database());
    const drain = new AbortController();
    const watching = watch(process(), taskId, { drainSignal: drain.signal });
    await watching.until((messages) => messages.length === 1);
    drain.abort();
    await expect(watching.ended).rejects.toMatchObject({
      reason: 'SERVER_DRAINING',
      retryDelayMs: expect.any(Number),
    });
    expect(process().feed.size).toBe(0);
  });
});

describe('progress and heartbeats', () => {
  test('come in their intervals', async () => {
    const { taskId } = await makeTask(database());
    const watching = watch(process(), taskId, {
      progressIntervalMs: 500,
      heartbeatIntervalMs: 1000,
    });
    await watching.until((messages) => messages.length === 1);
    const begun = performance.now();
    let size = 0;
    while (performance.now() - begun < 2000) {
      size += 1;
      await commitBytes(database(), taskId, size);
      await delay(50);
    }
    const progress = watching.messages.filter((message) => message.kind === 'progress');
    expect(progress.length).toBeGreaterThanOrEqual(2);
    expect(progress.length).toBeLessThanOrEqual(5);
    await watching.until((messages) => messages.at(-1)?.kind === 'heartbeat');
    const last = watching.messages.findLast((message) => message.kind === 'progress');
    expect(last).toMatchObject({ task: { committedSize: size } });
    expect(watching.messages.every((m) => m.resumeToken === encodeResumeToken(taskId, 1))).toBe(
      true,
    );
  });
});
