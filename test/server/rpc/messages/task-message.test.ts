import { expect, test } from 'vitest';
import { progressMessage } from '../../../../src/server/rpc/messages/task-message.ts';
import type { Task } from '../../../../src/records/task.ts';

const pending: Partial<Task> = {
  state: 'PENDING',
  committedSize: 0,
  storedBytes: 0,
  expectedSize: null,
  finishSize: null,
  reportedBytesDone: null,
  reportedBytesTotal: null,
};

test.each<[string, Partial<Task>, bigint, bigint | undefined]>([
  ['of nothing known', {}, 0n, undefined],
  ['as reported', { reportedBytesDone: 3, reportedBytesTotal: 9 }, 3n, 9n],
  ['as stored', { reportedBytesDone: 3, reportedBytesTotal: 9, committedSize: 1 }, 1n, 9n],
  ['of the size that was stated', { expectedSize: 0, reportedBytesTotal: 9 }, 0n, 0n],
  ['of the size of the finish', { finishSize: 8, reportedBytesTotal: 9, committedSize: 8 }, 8n, 8n],
  ['of an image', { state: 'SUCCEEDED', committedSize: 7 }, 7n, 7n],
  [
    'of an empty image',
    { state: 'SUCCEEDED', reportedBytesDone: 3, reportedBytesTotal: 9 },
    0n,
    0n,
  ],
])('progress is told %s', (_, task, bytesDone, bytesTotal) => {
  const progress = progressMessage({ ...pending, ...task } as Task);
  expect(progress).toMatchObject({ bytesDone, bytesStored: 0n });
  expect(progress.bytesTotal).toBe(bytesTotal);
});
