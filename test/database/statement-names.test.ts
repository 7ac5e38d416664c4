import { expect, test } from 'vitest';
import { rowsById } from '../../src/database/rows-by-id.ts';
import type { Statement } from '../../src/database/statement.ts';
import type { Database } from '../../src/database/database.ts';
import { readImage } from '../../src/access/find-image.ts';
import { readTask } from '../../src/access/find-task.ts';
import { Image } from '../../src/records/image.ts';
import { Task } from '../../src/records/task.ts';
import { TaskReader } from '../../src/tasks/reading/task-reader.ts';
import { makeTask, member } from '../tasks/task-fixtures.ts';
import { useDatabase } from '../support/test-database.ts';

const database = useDatabase();

test('each reader of rows has names of its own for its statements, which a connection prepares by them', async () => {
  const { taskId, imageId } = await makeTask(database());
  const texts = new Map<string, Set<string>>();
  const note = ({ name, text }: Statement): void => {
    texts.set(name, (texts.get(name) ?? new Set()).add(text));
  };
  const watched = Object.create(database(), {
    run: {
      value: (statement: Statement) => {
        note(statement);
        return database().run(statement);
      },
    },
    runForProjects: {
      value: (statement: Statement) => {
        note(statement);
        return database().runForProjects(statement);
      },
    },
    fork: { value: () => database().fork() },
  }) as Database;
  const reader = new TaskReader(watched);
  for (const read of [
    () => rowsById(watched, Task).read(taskId),
    () => rowsById(watched, Image).read(imageId),
    () => readTask(watched, member, taskId),
    () => readImage(watched, member, imageId),
    () => reader.projectOf(taskId),
    () => reader.snapshot(taskId, member.projectId),
  ]) {
    expect(await read()).toBeDefined();
  }
  expect(texts.size).toBe(6);
  expect([...texts].filter(([, { size }]) => size > 1)).toEqual([]);
});

test('a second prepared statement of one name is refused, on whatever connection', async () => {
  await database().run({ name: 'named twice', text: 'select 1 as one' });
  await database().run({ name: 'named twice', text: 'select 1 as one' });
  await expect(database().run({ name: 'named twice', text: 'select 2 as two' })).rejects.toThrow(
    'two prepared statements have the name "named twice"',
  );
});

test('one that is not prepared may have any name', async () => {
  await database().run({ name: 'in many forms', text: 'select 1', isPrepared: false });
  await database().run({ name: 'in many forms', text: 'select 2', isPrepared: false });
});
