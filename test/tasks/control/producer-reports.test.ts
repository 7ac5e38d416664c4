import { describe, expect, test } from 'vitest';
import { Image } from '../../../src/records/image.ts';
import { reportFault, reportProgress } from '../../../src/tasks/control/producer-reports.ts';
import { TaskLedger } from '../../../src/tasks/ledger/task-ledger.ts';
import {
  change,
  commitBytes,
  makeTask,
  member,
  readRevisions,
  readTask,
  stranger,
} from '../task-fixtures.ts';
import { useDatabase } from '../../support/test-database.ts';

const database = useDatabase();
const ledger = (): TaskLedger => new TaskLedger(database());

const progress = { message: '', bytesDone: undefined, bytesTotal: undefined };
const report = {
  code: 13,
  reason: 'DISK_READ_FAILED',
  message: 'The disk of the instance could not be read.',
  detail: 'virDomainBlockCopy:\n\tEIO',
  fatal: false,
};

describe('ReportProgress', () => {
  test('keeps what was said and moves the expire time on, without a revision', async () => {
    const { taskId } = await makeTask(database(), { idleTimeoutMs: 60_000 });
    await database().pool.query(
      'update tasks set expire_time = now() + interval $$1 s$$ where id = $1',
      [taskId],
    );
    const first = await reportProgress(ledger(), member, {
      ...progress,
      taskId,
      message: 'freezing the file system',
      bytesDone: 5,
      bytesTotal: 10,
    });
    expect(first.task).toMatchObject({
      state: 'PENDING',
      revision: 1,
      message: 'freezing the file system',
      reportedBytesDone: 5,
      reportedBytesTotal: 10,
    });
    expect(first.task.expireTime!.getTime() - first.task.updateTime.getTime()).toBe(60_000);
    const { task } = await reportProgress(ledger(), member, { ...progress, taskId, bytesDone: 6 });
    expect(task).toMatchObject({
      message: 'freezing the file system',
      reportedBytesDone: 6,
      reportedBytesTotal: 10,
    });
    expect(await readTask(database(), taskId)).toEqual(task);
  });

  test('names everything that is wrong', async () => {
    await expect(
      reportProgress(ledger(), member, {
        taskId: 'x',
        message: 'y'.repeat(1025),
        bytesDone: -1,
        bytesTotal: Number.NaN,
      }),
    ).rejects.toMatchObject({
      fieldViolations: [
        { field: 'message' },
        { field: 'bytes_done' },
        { field: 'bytes_total' },
        { field: 'task_id' },
      ],
    });
  });
});

describe('ReportFault', () => {
  test('that is survived leaves the task at work', async () => {
    const { taskId, imageId } = await makeTask(database());
    const { snapshot, fault } = await reportFault(ledger(), member, { ...report, taskId });
    expect(snapshot.task).toMatchObject({ state: 'PENDING', faultCount: 1, revision: 2 });
    expect(fault).toMatchObject({
      sequence: 1,
      code: 13,
      reason: 'DISK_READ_FAILED',
      detail: 'virDomainBlockCopy:\n\tEIO',
      origin: 'PRODUCER',
      fatal: false,
      retryable: true,
    });
    const image = await database().fork().findOneOrFail(Image, { id: imageId });
    expect(image).toMatchObject({ outlook: 'EXPECTED', lastFaultId: fault.id });
  });

  test('that is fatal ends the task and the hope for the image', async () => {
    const { taskId, imageId } = await makeTask(database());
    await change(database(), taskId, (entry) => entry.start('RECEIVING', 'test'));
    await commitBytes(database(), taskId, 7);
    const { snapshot, fault } = await reportFault(ledger(), member, {
      ...report,
      taskId,
      code: 9,
      fatal: true,
    });
    expect(snapshot).toMatchObject({ task: { state: 'FAILED' }, lastFault: { id: fault.id } });
    expect(fault).toMatchObject({ fatal: true, retryable: false, offset: 7, phase: 'RECEIVING' });
    const image = await database().fork().findOneOrFail(Image, { id: imageId });
    expect(image).toMatchObject({ state: 'QUEUED', outlook: 'NOT_COMING', version: 2 });
    await expect(reportFault(ledger(), member, { ...report, taskId })).rejects.toMatchObject({
      reason: 'TASK_TERMINAL',
    });
    await expect(reportProgress(ledger(), member, { ...progress, taskId })).rejects.toMatchObject({
      reason: 'TASK_TERMINAL',
    });
  });

  test('keeps the longest texts whole', async () => {
    const { taskId } = await makeTask(database());
    const { fault } = await reportFault(ledger(), member, {
      ...report,
      taskId,
      reason: `A${'0'.repeat(62)}`,
      message: '💾'.repeat(1024),
      detail: '💾'.repeat(4096),
    });
    expect(Array.from(fault.message)).toHaveLength(1024);
    expect(Array.from(fault.detail)).toHaveLength(4096);
  });

  test.each([
    ['code', { code: 0 }],
    ['code', { code: 17 }],
    ['reason', { reason: '' }],
    ['reason', { reason: 'disk_failed' }],
    ['reason', { reason: '1ST' }],
    ['reason', { reason: `A${'0'.repeat(63)}` }],
    ['message', { message: '' }],
    ['message', { message: 'x'.repeat(1025) }],
    ['message', { message: 'a\0b' }],
    ['message', { message: '\u001b[31mred' }],
    ['detail', { detail: 'x'.repeat(4097) }],
    ['detail', { detail: 'a\0b' }],
  ])('refuses a %s that is %o', async (field, wrong) => {
    const { taskId } = await makeTask(database());
    await expect(
      reportFault(ledger(), member, { ...report, taskId, ...wrong }),
    ).rejects.toMatchObject({
      reason: 'FIELD_INVALID',
      fieldViolations: [{ field }],
    });
    expect(await readRevisions(database(), taskId)).toEqual([1]);
  });
});

test('who is of another project may say nothing', async () => {
  const { taskId } = await makeTask(database());
  const notFound = { reason: 'TASK_NOT_FOUND' };
  await expect(reportProgress(ledger(), stranger, { ...progress, taskId })).rejects.toMatchObject(
    notFound,
  );
  await expect(reportFault(ledger(), stranger, { ...report, taskId })).rejects.toMatchObject(
    notFound,
  );
});

test('a task whose time has passed fails of that, and says so to whoever comes first', async () => {
  const { taskId } = await makeTask(database(), { idleTimeoutMs: 1000 });
  await database().pool.query('update tasks set expire_time = now() where id = $1', [taskId]);
  await expect(reportProgress(ledger(), member, { ...progress, taskId })).rejects.toMatchObject({
    reason: 'TASK_EXPIRED',
    code: 9,
  });
  expect(await readTask(database(), taskId)).toMatchObject({ state: 'FAILED', faultCount: 1 });
});
