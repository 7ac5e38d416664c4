import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { TaskChange, TaskFeed } from '../../../src/tasks/watching/task-feed.ts';
import type { TaskId } from '../../../src/records/ids.ts';
import { change, commitBytes, fault, makeTask, startWatchProcess } from '../task-fixtures.ts';
import { useOpenDatabase } from '../../support/test-database.ts';

const opened = useOpenDatabase();

/** Subscribes to a task; answers how to leave. */
function subscribe(
  feed: TaskFeed,
  taskId: TaskId,
  onChange: (change: TaskChange) => void,
): () => void {
  const follower = { onChange };
  feed.subscribe(taskId, follower);
  return () => feed.unsubscribe(taskId, follower);
}

test('a subscriber is woken for its task and no other, until it leaves', async () => {
  const { feed, database } = startWatchProcess(opened());
  const [mine, other] = [await makeTask(database), await makeTask(database)];
  const changes: TaskChange[] = [];
  const all: string[] = [];
  onTestFinished(feed.subscribeAll(({ taskId }) => all.push(taskId)));
  const leave = subscribe(feed, mine.taskId, (one) => changes.push(one));
  const leaveToo = subscribe(feed, mine.taskId, (one) => changes.push(one));

  await change(database, other.taskId, (entry) => entry.cancel('test'));
  await expect.poll(() => all.includes(other.taskId), { timeout: 5000 }).toBe(true);
  expect(changes.filter(({ taskId }) => taskId === other.taskId)).toEqual([]);
  await change(database, mine.taskId, (entry) => {
    entry.survive(fault);
  });
  await expect.poll(() => changes.length, { timeout: 5000 }).toBeGreaterThanOrEqual(2);
  leave();
  leave();
  leaveToo();
  expect(feed.size).toBe(1);
});

test('progress, which nobody notifies of, is told about once a second', async () => {
  const { feed, database } = startWatchProcess(opened());
  const { taskId } = await makeTask(database);
  const changes: TaskChange[] = [];
  onTestFinished(subscribe(feed, taskId, (one) => changes.push(one)));
  await expect.poll(() => changes.length, { timeout: 5000 }).toBeGreaterThan(0);
  await delay(1500);
  const before = changes.length;
  for (let size = 1; size <= 10; size++) {
    await commitBytes(database, taskId, size);
  }
  await expect.poll(() => changes.length, { timeout: 5000 }).toBeGreaterThan(before);
  expect(changes.at(-1)).toMatchObject({ taskId, revision: 1 });
  await delay(1500);
  // Ten commits are one or two wakes, and none comes again for what was told.
  expect(changes.length - before).toBeLessThanOrEqual(2);
});

test('nothing is asked of the database while nobody subscribes', async () => {
  const { feed, database } = startWatchProcess(opened());
  const query = vi.spyOn(database.pool, 'query');
  onTestFinished(() => query.mockRestore());
  await delay(1500);
  expect(query).not.toHaveBeenCalled();
  const { taskId } = await makeTask(database);
  const leave = subscribe(feed, taskId, () => {});
  await expect.poll(() => query.mock.calls.length, { timeout: 5000 }).toBeGreaterThan(0);
  leave();
  await delay(1500);
  const asked = query.mock.calls.length;
  await delay(1500);
  expect(query.mock.calls.length).toBe(asked);
});

test('a database that is away is told of once, and found again', async () => {
  const warnings: string[] = [];
  const { feed, database } = startWatchProcess(opened(), (message) => warnings.push(message));
  const { taskId } = await makeTask(database);
  let wakes = 0;
  onTestFinished(
    subscribe(feed, taskId, () => {
      wakes += 1;
    }),
  );
  const query = vi.spyOn(database.pool, 'query').mockRejectedValue(new Error('away'));
  await delay(2500);
  query.mockRestore();
  expect(warnings.filter((message) => message.includes('away'))).toHaveLength(1);
  const before = wakes;
  await commitBytes(database, taskId, 1);
  await expect.poll(() => wakes, { timeout: 5000 }).toBeGreaterThan(before);
});
