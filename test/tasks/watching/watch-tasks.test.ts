import { setTimeout as delay } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Caller } from '../../../src/access/caller.ts';
import { newId, type TaskId } from '../../../src/records/ids.ts';
import type { TaskFilter } from '../../../src/tasks/reading/list-requests.ts';
import { watchTasks, type WatchTasksMessage } from '../../../src/tasks/watching/watch-tasks.ts';
import { anyTask, change, commitBytes, fault, makeTask, member } from '../task-fixtures.ts';
import { collect, kindsOf, useWatchProcess, type Watching } from './watch-fixtures.ts';

const { database, process } = useWatchProcess();
/** A project for each test. */
let caller: Caller;

beforeEach(() => {
  caller = { ...member, projectId: newId() };
});

const never = new AbortController().signal;

function watch(
  filter: Partial<TaskFilter> = {},
  intervals: { progressIntervalMs?: number; heartbeatIntervalMs?: number } = {},
  drainSignal = never,
): Watching<WatchTasksMessage> {
  return collect((signal) =>
    watchTasks(
      process(),
      caller,
      {
        filter: { ...anyTask, ...filter },
        progressIntervalMs: undefined,
        heartbeatIntervalMs: undefined,
        ...intervals,
      },
      { signal, drainSignal },
    ),
  );
}

const isSynced = (messages: readonly WatchTasksMessage[]): boolean =>
  messages.some(({ kind }) => kind === 'synced');

function toldTasks(messages: readonly WatchTasksMessage[]): [string, string][] {
  return messages.flatMap((message): [string, string][] =>
    message.kind === 'task' ? [[message.snapshot.task.id, message.snapshot.task.state]] : [],
  );
}

describe('a watch of many tasks', () => {
  test('lists those of the project, says so, and then tells each change', async () => {
    const first = await makeTask(database(), { caller });
    const second = await makeTask(database(), { caller });
    await makeTask(database());
    const watching = watch();
    await watching.until(isSynced);
    expect(kindsOf(watching.messages)).toEqual(['task', 'task', 'synced']);
    expect(toldTasks(watching.messages)).toEqual([
      [first.taskId, 'PENDING'],
      [second.taskId, 'PENDING'],
    ]);

    const third = await makeTask(database(), { caller });
    await watching.until((messages) => messages.length === 4);
    await change(database(), second.taskId, (entry) => {
      entry.fail(fault);
    });
    await watching.until((messages) => messages.length === 5);
    // Not told again by the poll.
    await delay(1500);
    expect(toldTasks(watching.messages).slice(2)).toEqual([
      [third.taskId, 'PENDING'],
      [second.taskId, 'FAILED'],
    ]);
    watching.leave();
    await expect(watching.ended).rejects.toThrow('the caller left');
    expect(process().feed.size).toBe(0);
  });

  test('tells a task that stops to match once more, and no more after that', async () => {
    const { taskId } = await makeTask(database(), { caller });
    const watching = watch({ states: ['PENDING'] });
    await watching.until(isSynced);
    await change(database(), taskId, (entry) => entry.start('RECEIVING', 'test'));
    await watching.until((messages) => messages.length === 3);
    await change(database(), taskId, (entry) => entry.enterPhase('VERIFYING', 'test'));
    const next = await makeTask(database(), { caller });
    await watching.until((messages) => messages.length === 4);
    expect(toldTasks(watching.messages)).toEqual([
      [taskId, 'PENDING'],
      [taskId, 'RUNNING'],
      [next.taskId, 'PENDING'],
    ]);
  });

  test('tells a task that begins to match', async () => {
    const { taskId } = await makeTask(database(), { caller });
    const watching = watch({ hasFaults: true });
    await watching.until(isSynced);
    expect(toldTasks(watching.messages)).toEqual([]);
    await change(database(), taskId, (entry) => {
      entry.survive(fault);
    });
    await watching.until((messages) => messages.length === 2);
    expect(toldTasks(watching.messages)).toEqual([[taskId, 'PENDING']]);
  });

  test('loses no change that happens while it lists', async () => {
    const made = await Promise.all(
      Array.from({ length: 120 }, () => makeTask(database(), { caller })),
    );
    const watching = watch();
    const changes = made.slice(0, 20).map(({ taskId }) =>
      change(database(), taskId, (entry) => {
        entry.cancel('test');
      }),
    );
    await Promise.all(changes);
    await watching.until((messages) => {
      const last = new Map(toldTasks(messages));
      return (
        isSynced(messages) && made.slice(0, 20).every((m) => last.get(m.taskId) === 'CANCELLED')
      );
    });
    expect(new Set(toldTasks(watching.messages).map(([id]) => id)).size).toBe(120);
  });

  test('coalesces progress, and tells what the producer says with the whole task', async () => {
    const { taskId } = await makeTask(database(), { caller });
    const watching = watch({}, { progressIntervalMs: 500 });
    await watching.until(isSynced);
    for (let size = 1; size <= 20; size++) {
      await commitBytes(database(), taskId, size);
      await delay(20);
    }
    await watching.until((messages) => {
      const last = messages.at(-1);
      return last?.kind === 'progress' && last.task.committedSize === 20;
    });
    const progress = watching.messages.filter(({ kind }) => kind === 'progress').length;
    expect(progress).toBeLessThanOrEqual(4);
    await change(database(), taskId, (entry) => {
      entry.signOfLife();
      entry.task.message = 'freezing the disk';
    });
    await watching.until((messages) => messages.at(-1)?.kind === 'task');
    expect(watching.messages.at(-1)).toMatchObject({
      snapshot: { task: { message: 'freezing the disk' } },
    });
  });

  test('sends heartbeats, and ends when the service stops', async () => {
    const drain = new AbortController();
    const watching = watch({}, { heartbeatIntervalMs: 1000 }, drain.signal);
    await watching.until((messages) => messages.at(-1)?.kind === 'heartbeat');
    drain.abort();
    await expect(watching.ended).rejects.toMatchObject({ reason: 'SERVER_DRAINING' });
  });

  test('lists again for a reader who was too slow for more changes than are remembered', async () => {
    const kept = await makeTask(database(), { caller });
    const gone = await makeTask(database(), { caller });
    const messages = watchTasks(
      process(),
      caller,
      {
        filter: { ...anyTask, states: ['PENDING'] },
        progressIntervalMs: undefined,
        heartbeatIntervalMs: undefined,
      },
      { signal: never, drainSignal: never },
    );
    for (let i = 0; i < 3; i++) {
      await messages.next();
    }
    const noticed = new Set<TaskId>();
    const unsubscribe = process().feed.subscribeAll(({ taskId }) => noticed.add(taskId));
    const notify = (id: TaskId): Promise<unknown> =>
      database().pool.query(`select pg_notify('darkroom_task', $1)`, [id]);
    const [first, last] = [newId<TaskId>(), newId<TaskId>()];
    // The process listens from now on.
    await expect.poll(() => notify(first).then(() => noticed.has(first))).toBe(true);
    await change(database(), gone.taskId, (entry) => entry.cancel('test'));
    const late = await makeTask(database(), { caller });
    // Notifications of tasks that do not exist are as good as others to fill the memory.
    await database().pool.query(
      `select pg_notify('darkroom_task', gen_random_uuid()::text) from generate_series(1, 10001)`,
    );
    // They come in their order, and the watch subscribed first: it has been told of all of them by then.
    await notify(last);
    await expect.poll(() => noticed.has(last)).toBe(true);
    unsubscribe();
    const told = [];
    for (let i = 0; i < 3; i++) {
      told.push((await messages.next()).value);
    }
    await messages.return();
    expect(toldTasks(told.filter((message) => message !== undefined))).toEqual([
      [kept.taskId, 'PENDING'],
      [late.taskId, 'PENDING'],
      [gone.taskId, 'CANCELLED'],
    ]);
  });

  test('refuses a filter and intervals that are wrong, all at once', async () => {
    await expect(
      watch({ states: ['ERROR'], imageId: 'x' }, { heartbeatIntervalMs: 10 }).ended,
    ).rejects.toMatchObject({
      fieldViolations: [
        { field: 'filter.states' },
        { field: 'filter.image_id' },
        { field: 'heartbeat_interval' },
      ],
    });
  });
});
