import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Caller } from '../../../src/access/caller.ts';
import { newId, type ImageId, type TaskId } from '../../../src/records/ids.ts';
import { matchesTaskFilter } from '../../../src/tasks/reading/task-filter.ts';
import { taskOrders } from '../../../src/tasks/reading/task-order.ts';
import {
  getTask,
  listFaults,
  listTaskEvents,
  listTasks,
} from '../../../src/tasks/reading/task-queries.ts';
import type { TaskFilter } from '../../../src/tasks/reading/list-requests.ts';
import { Task, taskStates, taskTypes } from '../../../src/records/task.ts';
import {
  anyTask,
  change,
  commitBytes,
  fault,
  makeTask,
  member,
  stranger,
} from '../task-fixtures.ts';
import { useDatabase } from '../../support/test-database.ts';

const database = useDatabase();

async function listAll(
  caller: Caller,
  filter: TaskFilter,
  order: string | undefined,
  pageSize: number,
): Promise<TaskId[]> {
  const ids: TaskId[] = [];
  let pageToken = '';
  do {
    const page = await listTasks(database(), caller, { filter, order, pageSize, pageToken });
    expect(page.rows.length).toBeLessThanOrEqual(pageSize);
    ids.push(...page.rows.map(({ task }) => task.id));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return ids;
}

describe('ListTasks', () => {
  const caller = { ...member, projectId: 'filters' };
  const base = Date.UTC(2026, 0, 1);
  const minute = 60_000;
  let tasks: Task[];

  // Sixty tasks with few distinct values each, so that filters overlap and times are equal.
  beforeAll(async () => {
    await database().pool.query(
      `with made as (
         insert into images (id, project_id, created_by, name, disk_format, container_format, state,
             outlook, min_disk_bytes, min_ram_bytes, properties, tags, visibility, create_time, update_time)
         select gen_random_uuid(), case when n % 10 = 9 then 'elsewhere' else 'filters' end, 'ann', n::text,
                'RAW', 'BARE', 'QUEUED', 'EXPECTED', 0, 0, '{}', '{}', 'PRIVATE', now(), now()
           from generate_series(0, 59) n
         returning id, project_id, name::int as n)
       insert into tasks (id, project_id, created_by, type, image_id, labels, state, phase, attempt,
           revision, idle_timeout_ms, fault_count, create_time, update_time, expire_time, finish_time)
       select gen_random_uuid(), project_id, 'ann', (array['UPLOAD', 'SNAPSHOT', 'IMPORT'])[1 + n % 3], id,
              case n % 4 when 0 then '{}' when 1 then '{"a": "1"}' when 2 then '{"a": "2"}'
                   else '{"a": "1", "b": "1"}' end::jsonb,
              (array['PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED'])[1 + n % 5],
              'RECEIVING', 1, 1, 1000, n % 2,
              $1::timestamptz + (n % 6) * interval '1 min', $1::timestamptz + (n % 7 + 6) * interval '1 min',
              case when n % 5 < 2 then now() + interval '1 day' end,
              case when n % 5 >= 2 then now() end
         from made`,
      [new Date(base)],
    );
    tasks = await database().fork().find(Task, { projectId: caller.projectId });
  });

  const orNot = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
    fc.option(arbitrary, { nil: undefined });
  const time = fc.integer({ min: -1, max: 14 }).map((n) => new Date(base + n * minute));
  const filters: fc.Arbitrary<TaskFilter> = fc.record({
    states: fc.subarray([...taskStates]),
    types: fc.subarray([...taskTypes]),
    imageId: orNot(fc.nat(60).map((n) => tasks[n]?.imageId ?? newId<ImageId>())),
    labels: fc.constantFrom({}, {}, { a: '1' }, { a: '1', b: '1' }, { b: '2' }),
    createdAfter: orNot(time),
    createdBefore: orNot(time),
    updatedAfter: orNot(time),
    updatedBefore: orNot(time),
    hasFaults: orNot(fc.boolean()),
  });
  const keys = {
    CREATE_TIME_DESC: (task: Task) => -task.createTime.getTime(),
    CREATE_TIME_ASC: (task: Task) => task.createTime.getTime(),
    UPDATE_TIME_DESC: (task: Task) => -task.updateTime.getTime(),
  };

  test('shows just what the filter says, in order, whatever the page size', async () => {
    await fc.assert(
      fc.asyncProperty(
        filters,
        fc.constantFrom(...taskOrders),
        fc.integer({ min: 1, max: 30 }),
        async (filter, order, pageSize) => {
          const sign = order === 'CREATE_TIME_ASC' ? 1 : -1;
          const expected = tasks
            .filter((task) => matchesTaskFilter(filter, task))
            .sort((a, b) => keys[order](a) - keys[order](b) || (a.id < b.id ? -sign : sign))
            .map((task) => task.id);
          expect(await listAll(caller, filter, order, pageSize)).toEqual(expected);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('pages neither hide nor repeat what does not change meanwhile', async () => {
    const busy = { ...member, projectId: 'busy' };
    const made = [];
    for (let i = 0; i < 12; i++) {
      made.push((await makeTask(database(), { caller: busy })).taskId);
    }
    const first = await listTasks(database(), busy, {
      filter: anyTask,
      order: 'CREATE_TIME_ASC',
      pageSize: 5,
      pageToken: '',
    });
    await change(database(), made[0]!, (entry) => entry.cancel('test'));
    await change(database(), made[7]!, (entry) => entry.cancel('test'));
    made.push((await makeTask(database(), { caller: busy })).taskId);
    const rest = await listTasks(database(), busy, {
      filter: anyTask,
      order: 'CREATE_TIME_ASC',
      pageSize: 100,
      pageToken: first.nextPageToken,
    });
    expect([...first.rows, ...rest.rows].map(({ task }) => task.id)).toEqual(made);
    expect(rest.nextPageToken).toBe('');
  });

  test('a token is good for its own query only', async () => {
    const page = { order: undefined, pageSize: 1, pageToken: '' };
    const { nextPageToken } = await listTasks(database(), caller, { ...page, filter: anyTask });
    for (const [other, request] of [
      [caller, { ...page, filter: { ...anyTask, hasFaults: true } }],
      [caller, { ...page, filter: anyTask, order: 'UPDATE_TIME_DESC' }],
      [stranger, { ...page, filter: anyTask }],
    ] as const) {
      await expect(
        listTasks(database(), other, { ...request, pageToken: nextPageToken }),
      ).rejects.toMatchObject({ reason: 'PAGE_TOKEN_INVALID' });
    }
  });

  test('everything that is wrong is told at once', async () => {
    await expect(
      listTasks(database(), caller, {
        filter: {
          ...anyTask,
          states: ['ERROR'],
          types: ['7'],
          imageId: '1',
          labels: { '': 'x' },
          updatedBefore: new Date(Number.NaN),
        },
        order: 'NAME',
        pageSize: -1,
        pageToken: '',
      }),
    ).rejects.toMatchObject({
      fieldViolations: [
        { field: 'filter.states' },
        { field: 'filter.types' },
        { field: 'filter.updated_before' },
        { field: 'filter.labels[""]' },
        { field: 'filter.image_id' },
        { field: 'order_by' },
        { field: 'page_size' },
      ],
    });
  });
});

describe('GetTask, ListFaults and ListTaskEvents', () => {
  test('tell of a task, its faults and its history', async () => {
    const { taskId, imageId } = await makeTask(database(), { labels: { instance: 'i-1' } });
    await change(database(), taskId, (entry) => entry.start('RECEIVING', 'ann began'));
    await commitBytes(database(), taskId, 10);
    await change(database(), taskId, (entry) => {
      entry.survive({ ...fault, message: 'first' });
    });
    await change(database(), taskId, (entry) => {
      entry.fail({ ...fault, message: 'last' });
    });
    const snapshot = await getTask(database(), member, taskId.toUpperCase());
    expect(snapshot).toMatchObject({
      task: { state: 'FAILED', faultCount: 2, labels: { instance: 'i-1' } },
      lastFault: { message: 'last', sequence: 2, fatal: true, offset: 10, phase: 'RECEIVING' },
    });

    const page = { pageSize: 1, pageToken: '' };
    for (const of of [
      { kind: 'task', taskId },
      { kind: 'image', imageId },
    ] as const) {
      const first = await listFaults(database(), member, { of, ...page });
      const second = await listFaults(database(), member, {
        of,
        ...page,
        pageToken: first.nextPageToken,
      });
      expect([...first.rows, ...second.rows].map(({ message }) => message)).toEqual([
        'last',
        'first',
      ]);
      expect(second.nextPageToken).toBe('');
    }
    const [newest] = (await listFaults(database(), member, { of: undefined, ...page })).rows;
    expect(newest?.message).toBe('last');

    const events = await listTaskEvents(database(), member, { taskId, pageSize: 0, pageToken: '' });
    expect(
      events.rows.map(({ event, fault: told }) => [event.revision, event.kind, told?.message]),
    ).toEqual([
      [1, 'CREATED', undefined],
      [2, 'STATE_CHANGED', undefined],
      [3, 'FAULT', 'first'],
      [4, 'FAULT', 'last'],
    ]);
    expect(events.rows[1]?.event.cause).toBe('ann began');
  });

  test('find nothing of another project', async () => {
    const { taskId, imageId } = await makeTask(database());
    const page = { pageSize: 0, pageToken: '' };
    const taskNotFound = { reason: 'TASK_NOT_FOUND' };
    await expect(getTask(database(), stranger, taskId)).rejects.toMatchObject(taskNotFound);
    await expect(
      listFaults(database(), stranger, { of: { kind: 'task', taskId }, ...page }),
    ).rejects.toMatchObject(taskNotFound);
    await expect(listTaskEvents(database(), stranger, { taskId, ...page })).rejects.toMatchObject(
      taskNotFound,
    );
    await expect(
      listFaults(database(), stranger, { of: { kind: 'image', imageId }, ...page }),
    ).rejects.toMatchObject({ reason: 'IMAGE_NOT_FOUND' });
    expect(await listFaults(database(), stranger, { of: undefined, ...page })).toMatchObject({
      rows: [],
    });
  });
});
