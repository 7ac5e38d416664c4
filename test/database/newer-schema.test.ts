import { beforeAll, describe, expect, test } from 'vitest';
import { readImage } from '../../src/access/find-image.ts';
import { readTask } from '../../src/access/find-task.ts';
import type { ImageId, TaskId } from '../../src/records/ids.ts';
import { listTasks } from '../../src/tasks/reading/task-queries.ts';
import type { ListTasksRequest } from '../../src/tasks/reading/list-requests.ts';
import { TaskReader } from '../../src/tasks/reading/task-reader.ts';
import { useDatabase } from '../support/test-database.ts';
import { change, changeAtOnce, fault, makeTask, member, stranger } from '../tasks/task-fixtures.ts';

// One connection, so that what was prepared before is what is used after.
const database = useDatabase(1);
const anyTasks: ListTasksRequest = {
  filter: {
    states: [],
    types: [],
    imageId: undefined,
    labels: {},
    createdAfter: undefined,
    createdBefore: undefined,
    updatedAfter: undefined,
    updatedBefore: undefined,
    hasFaults: undefined,
  },
  order: undefined,
  pageSize: 10,
  pageToken: '',
};
let taskId: TaskId;
let otherTaskId: TaskId;
let imageId: ImageId;
let reader: TaskReader;

beforeAll(async () => {
  ({ taskId, imageId } = await makeTask(database()));
  // Of another project, so that its changes do not show in the list.
  ({ taskId: otherTaskId } = await makeTask(database(), { caller: stranger }));
  await change(database(), taskId, (entry) => void entry.survive(fault));
  reader = new TaskReader(database());
});

describe('a process goes on when a newer one has added a column to each table', () => {
  const calls = {
    'a task as watches read it': () => reader.snapshot(taskId, member.projectId),
    'events as watches read them': () =>
      reader.events({ taskId, projectId: member.projectId, after: 0, upTo: 2 }),
    'a task by its id': () => readTask(database(), member, taskId),
    'an image by its id': () => readImage(database(), member, imageId),
    'a page of tasks': () => listTasks(database(), member, anyTasks),
    'a change of a task at once': () =>
      changeAtOnce(database(), otherTaskId, ({ task }) => (task.message = 'changed')),
    'a change of a task': () => change(database(), taskId, ({ task }) => task.id),
  } as const;
  const before = new Map<string, unknown>();

  beforeAll(async () => {
    for (const [name, call] of Object.entries(calls)) {
      before.set(name, await call());
    }
    for (const table of ['tasks', 'task_events', 'faults', 'images', 'blobs', 'blob_segments']) {
      await database().pool.query(`alter table ${table} add column of_a_newer_version text`);
    }
  });

  test.each(Object.entries(calls))('%s', async (name, call) => {
    expect(await call()).toEqual(before.get(name));
  });
});
