import { describe, expect, test } from 'vitest';
import type { FailureReason } from '../../../src/domain/failure-reason.ts';
import { newId, type TaskId } from '../../../src/records/ids.ts';
import { Image } from '../../../src/records/image.ts';
import { Blob } from '../../../src/records/blob.ts';
import { cancelTask } from '../../../src/tasks/control/cancel-task.ts';
import { retryTask } from '../../../src/tasks/control/retry-task.ts';
import { TaskLedger } from '../../../src/tasks/ledger/task-ledger.ts';
import type { TaskSnapshot } from '../../../src/tasks/reading/task-reader.ts';
import {
  change,
  commitBytes,
  fault,
  makeTask,
  member,
  readRevisions,
  readTask,
  stranger,
} from '../task-fixtures.ts';
import { useDatabase } from '../../support/test-database.ts';

const database = useDatabase();
const ledger = (): TaskLedger => new TaskLedger(database());
let released = 0;

function retry(taskId: TaskId, requestId = '', caller = member): Promise<TaskSnapshot> {
  const parts = {
    ledger: ledger(),
    onBlobsReleased: () => {
      released += 1;
    },
    onImportDue: () => {},
  };
  return retryTask(parts, caller, { taskId, requestId });
}

const cancel = (taskId: TaskId, reason = '', caller = member): Promise<TaskSnapshot> =>
  cancelTask({ ledger: ledger(), onBlobsReleased: () => {} }, caller, { taskId, reason });

describe('CancelTask', () => {
  test('ends a task, says who and why, and answers the same again', async () => {
    const { taskId, imageId } = await makeTask(database());
    const first = await cancel(taskId, 'the instance is gone');
    expect(first.task).toMatchObject({ state: 'CANCELLED', expireTime: null, revision: 2 });
    const image = await database().fork().findOneOrFail(Image, { id: imageId });
    expect(image).toMatchObject({ state: 'QUEUED', outlook: 'NOT_COMING' });
    const { rows } = await database().pool.query<{ cause: string }>(
      'select cause from task_events where task_id = $1 and revision = 2',
      [taskId],
    );
    expect(rows[0]?.cause).toBe('Cancelled by user ann: the instance is gone');
    expect((await cancel(taskId, 'again')).task).toEqual(first.task);
    expect(await readRevisions(database(), taskId)).toEqual([1, 2]);
  });

  test('refuses what is over, what is another project’s, and a reason that is too long', async () => {
    const { taskId } = await makeTask(database());
    await expect(cancel(taskId, '', stranger)).rejects.toMatchObject({ reason: 'TASK_NOT_FOUND' });
    await expect(cancel(taskId, 'x'.repeat(1025))).rejects.toMatchObject({
      fieldViolations: [{ field: 'reason' }],
    });
    await change(database(), taskId, (entry) => {
      entry.fail(fault);
    });
    await expect(cancel(taskId)).rejects.toMatchObject({ reason: 'TASK_TERMINAL' });
  });
});

describe('RetryTask', () => {
  test('takes over the committed bytes, linked both ways', async () => {
    const { taskId, imageId } = await makeTask(database(), { labels: { instance: 'i-1' } });
    await change(database(), taskId, (entry) => entry.start('RECEIVING', 'test'));
    await commitBytes(database(), taskId, 5);
    const { blobId } = await readTask(database(), taskId);
    await cancel(taskId);

    const { task } = await retry(taskId, 'my retry');
    expect(task).toMatchObject({
      state: 'PENDING',
      attempt: 2,
      retryOf: taskId,
      committedSize: 5,
      blobId,
      requestId: 'my retry',
      labels: { instance: 'i-1' },
      revision: 1,
    });
    expect(await readTask(database(), taskId)).toMatchObject({
      state: 'CANCELLED',
      retriedBy: task.id,
      blobId: null,
      revision: 4,
    });
    const image = await database().fork().findOneOrFail(Image, { id: imageId });
    expect(image).toMatchObject({ outlook: 'EXPECTED', latestTaskId: task.id, version: 3 });
  });

  const reasonsToDoubt: [FailureReason, boolean][] = [
    ['DIGEST_MISMATCH', true],
    ['SIZE_EXCEEDED', true],
    ['STORED_BYTES_LOST', true],
    ['REPLAY_MISMATCH', false],
  ];
  test.each(reasonsToDoubt)('begins at the first byte after %s', async (reason, fatal) => {
    const { taskId } = await makeTask(database());
    await commitBytes(database(), taskId, 5);
    const before = await readTask(database(), taskId);
    await change(database(), taskId, (entry) => {
      if (fatal) {
        entry.fail({ ...fault, reason });
      } else {
        entry.survive({ ...fault, reason });
        entry.cancel('test');
      }
    });
    const releasedBefore = released;
    const { task } = await retry(taskId);
    expect(task).toMatchObject({ committedSize: 0, storedBytes: 0, writerEpoch: 0 });
    expect(task.blobId).not.toBe(before.blobId);
    expect(await readTask(database(), taskId)).toMatchObject({ blobId: null, committedSize: 5 });
    const blob = await database().fork().findOneOrFail(Blob, { id: before.blobId! });
    expect(blob.state).toBe('DELETING');
    expect(released).toBe(releasedBefore + 1);
  });

  test('twice answers with the retry that there is, from however many callers', async () => {
    const { taskId } = await makeTask(database());
    await cancel(taskId);
    const retries = await Promise.all(Array.from({ length: 5 }, () => retry(taskId)));
    expect(new Set(retries.map(({ task }) => task.id)).size).toBe(1);
    const second = retries[0]!.task.id;
    await cancel(second);
    expect((await retry(taskId)).task).toMatchObject({ id: second, state: 'CANCELLED' });
    const third = (await retry(second)).task;
    expect(third.attempt).toBe(3);
    await expect(retry(taskId)).rejects.toMatchObject({
      reason: 'TASK_STATE_INVALID',
      metadata: { latest_task_id: third.id },
    });
  });

  test('refuses what is at work, what succeeded, and an image that is not QUEUED', async () => {
    const { taskId, imageId } = await makeTask(database());
    await expect(retry(taskId)).rejects.toMatchObject({ reason: 'TASK_STATE_INVALID' });
    await expect(retry(taskId, '', stranger)).rejects.toMatchObject({ reason: 'TASK_NOT_FOUND' });
    await expect(retry(newId<TaskId>())).rejects.toMatchObject({ reason: 'TASK_NOT_FOUND' });
    await expect(retry(taskId, 'ü')).rejects.toMatchObject({
      fieldViolations: [{ field: 'request_id' }],
    });
    await cancel(taskId);
    await database().pool.query(
      `update images set state = 'DELETED', delete_time = now() where id = $1`,
      [imageId],
    );
    await expect(retry(taskId)).rejects.toMatchObject({ reason: 'IMAGE_STATE_INVALID' });
  });

  test('of a task whose time passes just now fails and retries it', async () => {
    const { taskId } = await makeTask(database());
    await database().pool.query('update tasks set expire_time = now() where id = $1', [taskId]);
    expect((await retry(taskId)).task).toMatchObject({ attempt: 2, retryOf: taskId });
  });
});
