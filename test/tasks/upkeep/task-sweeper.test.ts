import { describe, expect, test } from 'vitest';
import type { TaskId } from '../../../src/records/ids.ts';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { expireTasks } from '../../../src/tasks/upkeep/expire-tasks.ts';
import { Fault } from '../../../src/records/fault.ts';
import { retryTask } from '../../../src/tasks/control/retry-task.ts';
import { TaskLedger } from '../../../src/tasks/ledger/task-ledger.ts';
import { TaskSweeper, type TaskSweeperOptions } from '../../../src/tasks/upkeep/task-sweeper.ts';
import {
  change,
  commitBytes,
  fault,
  makeTask,
  member,
  readRevisions,
  readTask,
} from '../task-fixtures.ts';
import { useDatabase } from '../../support/test-database.ts';

const database = useDatabase();

const day = 24 * 3600 * 1000;

function sweeperOf(options: Partial<TaskSweeperOptions> = {}): TaskSweeper {
  return new TaskSweeper({
    database: database(),
    settings: { sweepIntervalMs: 50, historyRetentionMs: day, notComingRetentionMs: 0 },
    logger: { info: () => {}, warn: () => {} },
    onBlobsReleased: () => {},
    deleteImage: () => Promise.reject(new Error('not wanted')),
    ...options,
  });
}

async function passTime(taskId: TaskId): Promise<void> {
  await database().pool.query('update tasks set expire_time = now() where id = $1', [taskId]);
}

async function endedLongAgo(...taskIds: TaskId[]): Promise<void> {
  await database().pool.query(
    `update tasks set finish_time = now() - interval '2 days' where id = any($1)`,
    [taskIds],
  );
}

async function exists(taskId: TaskId): Promise<boolean> {
  const { rowCount } = await database().pool.query('select from tasks where id = $1', [taskId]);
  return rowCount === 1;
}

describe('expiry', () => {
  test('fails what is due, and says what was awaited, since when and how far it came', async () => {
    const pending = await makeTask(database(), { idleTimeoutMs: 5000 });
    const running = await makeTask(database(), { idleTimeoutMs: 5000, expectedSize: 10 });
    await change(database(), running.taskId, (entry) => entry.start('RECEIVING', 'test'));
    await commitBytes(database(), running.taskId, 4);
    const patient = await makeTask(database());
    await passTime(pending.taskId);
    await passTime(running.taskId);

    expect(await sweeperOf().sweep()).toMatchObject({ tasksExpired: 2 });
    expect(await readTask(database(), patient.taskId)).toMatchObject({ state: 'PENDING' });
    const faults = await database().fork().find(Fault, { reason: 'TASK_EXPIRED' });
    const messageOf = new Map(faults.map((one) => [one.taskId, one.message]));
    expect(messageOf.get(pending.taskId)).toMatch(
      /within 5 s: awaited the first byte since 20.*Z, with 0 bytes stored/,
    );
    expect(messageOf.get(running.taskId)).toMatch(/awaited more bytes or a finish.* 4 of 10 bytes/);
    expect(faults[0]).toMatchObject({ code: 4, fatal: true, retryable: true, origin: 'SERVER' });
    expect(await readRevisions(database(), running.taskId)).toEqual([1, 2, 3]);
  });

  test('leaves what somebody else has locked to him', async () => {
    const held = await makeTask(database());
    const free = await makeTask(database());
    await passTime(held.taskId);
    await passTime(free.taskId);
    const locker = await database().pool.connect();
    await locker.query('begin');
    await locker.query('select from images where id = $1 for update', [held.imageId]);
    expect(await expireTasks(database(), () => false)).toBe(1);
    await locker.query('rollback');
    locker.release();
    expect(await expireTasks(database(), () => false)).toBe(1);
  });

  test(
    'of 10,000 at once is soon over, with two processes at it',
    { timeout: 180_000 },
    async () => {
      await database().pool.query(
        `with image as (
         insert into images (id, project_id, created_by, name, disk_format, container_format, state,
             outlook, min_disk_bytes, min_ram_bytes, properties, tags, visibility, create_time, update_time)
         select gen_random_uuid(), 'many', 'ann', 'image', 'RAW', 'BARE', 'QUEUED', 'EXPECTED', 0, 0,
                '{}', '{}', 'PRIVATE', now(), now()
           from generate_series(1, 10000)
         returning id
       ), task as (
         insert into tasks (id, project_id, created_by, type, image_id, labels, state, phase, attempt,
             revision, idle_timeout_ms, expire_time, create_time, update_time)
         select gen_random_uuid(), 'many', 'ann', 'UPLOAD', id, '{}', 'PENDING', 'WAITING_FOR_DATA', 1,
                1, 1000, now(), now(), now()
           from image
         returning id
       )
       insert into task_events
       select id, 1, 'CREATED', 'PENDING', 'WAITING_FOR_DATA', '', null, 0, now() from task`,
      );
      const begun = performance.now();
      const counts = await Promise.all([
        expireTasks(database(), () => false),
        expireTasks(database(), () => false),
      ]);
      const seconds = (performance.now() - begun) / 1000;
      expect(counts[0] + counts[1]).toBe(10_000);
      const { rows } = await database().pool.query<Record<string, string>>(
        `select count(*) filter (where t.state = 'FAILED' and t.revision = 2 and t.fault_count = 1
                  and i.outlook = 'NOT_COMING' and i.last_fault_id = t.last_fault_id) as tasks,
              (select count(*) from faults where project_id = 'many' and fatal) as faults,
              (select count(*) from task_events e where e.revision = 2 and e.kind = 'FAULT'
                  and e.state = 'FAILED' and e.task_id in (select id from tasks where project_id = 'many')) as events
         from tasks t join images i on i.id = t.image_id where t.project_id = 'many'`,
      );
      expect(rows).toEqual([{ tasks: '10000', faults: '10000', events: '10000' }]);
      // About 7 s on two cores; the limit is for a machine that is busy with other tests.
      expect(seconds).toBeLessThan(90);
    },
  );
});

describe('history', () => {
  test('is forgotten but for the newest task of an image, and with it the bytes it held', async () => {
    const ledger = new TaskLedger(database());
    const { taskId: first, imageId } = await makeTask(database());
    await change(database(), first, (entry) => {
      entry.fail(fault);
    });
    const parts = { ledger, onBlobsReleased: () => {}, onImportDue: () => {} };
    const { task: second } = await retryTask(parts, member, { taskId: first, requestId: '' });
    await change(database(), second.id, (entry) => {
      entry.fail(fault);
    });
    const recent = await makeTask(database());
    await change(database(), recent.taskId, (entry) => entry.cancel('test'));
    await endedLongAgo(first, second.id);

    let releases = 0;
    const onBlobsReleased = (): void => {
      releases += 1;
    };
    expect(await sweeperOf({ onBlobsReleased }).sweep()).toMatchObject({ tasksPruned: 1 });
    expect(await exists(first)).toBe(false);
    expect(await exists(second.id)).toBe(true);
    expect(await readTask(database(), second.id)).toMatchObject({ retryOf: null });
    expect(await database().fork().count(Fault, { taskId: first })).toBe(0);
    expect(releases).toBe(0);

    await database().pool.query(
      `update images set state = 'DELETED', delete_time = now() where id = $1`,
      [imageId],
    );
    expect(await sweeperOf({ onBlobsReleased }).sweep()).toMatchObject({ tasksPruned: 1 });
    expect(await exists(second.id)).toBe(false);
    expect(await exists(recent.taskId)).toBe(true);
    expect(releases).toBe(1);
    const { rows } = await database().pool.query('select state from blobs where id = $1', [
      second.blobId,
    ]);
    expect(rows).toEqual([{ state: 'DELETING' }]);
  });
});

describe('images that will never come', () => {
  test('are deleted after the time that was set, and only then, and not if they are protected', async () => {
    const [old, recent] = [await makeTask(database()), await makeTask(database())];
    const kept = await makeTask(database());
    for (const { taskId } of [old, recent, kept]) {
      await change(database(), taskId, (entry) => entry.cancel('test'));
    }
    await database().pool.query(
      `update images set update_time = now() - interval '2 days', protected = (id = $2)
        where id in ($1, $2)`,
      [old.imageId, kept.imageId],
    );
    const deleted: string[] = [];
    const lines: unknown[] = [];
    const sweeper = sweeperOf({
      settings: { sweepIntervalMs: 50, historyRetentionMs: day, notComingRetentionMs: day },
      logger: { info: (line: unknown) => lines.push(line), warn: () => {} },
      deleteImage: async (image) => {
        deleted.push(image.id);
        if (deleted.length > 1) {
          throw new DarkroomError('ETAG_MISMATCH', 'changed meanwhile');
        }
      },
    });
    expect(await sweeper.sweep()).toMatchObject({ imagesDeleted: 1 });
    expect(deleted).toEqual([old.imageId]);
    expect(lines).toMatchObject([{ imageId: old.imageId, projectId: member.projectId }]);
    expect(await sweeper.sweep()).toMatchObject({ imagesDeleted: 0 });
    expect(await sweeperOf().sweep()).toMatchObject({ imagesDeleted: 0 });
  });
});

test('a sweeper sweeps by itself until it is stopped', async () => {
  const sweeper = sweeperOf();
  const { taskId } = await makeTask(database());
  sweeper.start();
  await passTime(taskId);
  await expect
    .poll(async () => (await readTask(database(), taskId)).state, { timeout: 10_000 })
    .toBe('FAILED');
  await sweeper.stop();
  const next = await makeTask(database());
  await passTime(next.taskId);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(await readTask(database(), next.taskId)).toMatchObject({ state: 'PENDING' });
});
