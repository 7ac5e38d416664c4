import { readAll } from '../../support/failures.ts';
import { invalid, type Case } from './case.ts';

/** What else can be wrong with calls of tasks. */
export const taskCases: Case[] = [
  [
    'ListTasks with the page token of images',
    ({ tasks }, { imagesToken }) => tasks.listTasks({ pageToken: imagesToken }),
    { code: 'InvalidArgument', reason: 'PAGE_TOKEN_INVALID', fields: ['page_token'] },
  ],
  [
    'ListTasks of an image whose id is none',
    ({ tasks }) => tasks.listTasks({ filter: { imageId: 'x' } }),
    invalid('filter.image_id'),
  ],
  [
    'WatchTask with a resume token that is none',
    ({ tasks }, { queued }) =>
      readAll(tasks.watchTask({ taskId: queued.taskId, resumeToken: 'x\0' })),
    { code: 'InvalidArgument', reason: 'RESUME_TOKEN_INVALID', fields: ['resume_token'] },
  ],
  [
    'WatchTask with intervals out of range',
    ({ tasks }, { queued }) =>
      readAll(
        tasks.watchTask({
          taskId: queued.taskId,
          progressInterval: { nanos: 1 },
          heartbeatInterval: { seconds: 3601n },
        }),
      ),
    invalid('progress_interval', 'heartbeat_interval'),
  ],
  [
    'ReportProgress of a task that is over',
    ({ tasks }, { active }) => tasks.reportProgress({ taskId: active.taskId }),
    { code: 'FailedPrecondition', reason: 'TASK_TERMINAL' },
  ],
  [
    'ReportProgress below zero',
    ({ tasks }, { queued }) =>
      tasks.reportProgress({
        taskId: queued.taskId,
        message: 'a\0b',
        bytesDone: -1n,
        bytesTotal: -1n,
      }),
    invalid('message', 'bytes_done', 'bytes_total'),
  ],
  [
    'ReportFault with nothing in it',
    ({ tasks }, { queued }) => tasks.reportFault({ taskId: queued.taskId }),
    invalid('reason', 'message', 'code'),
  ],
  [
    'ReportFault with a reason in small letters',
    ({ tasks }, { queued }) =>
      tasks.reportFault({ taskId: queued.taskId, code: 13, reason: 'broken', message: 'it broke' }),
    invalid('reason'),
  ],
  [
    'CancelTask of a task that has succeeded',
    ({ tasks }, { active }) => tasks.cancelTask({ taskId: active.taskId }),
    { code: 'FailedPrecondition', reason: 'TASK_TERMINAL' },
  ],
  [
    'RetryTask of a task that has not failed',
    ({ tasks }, { queued }) => tasks.retryTask({ taskId: queued.taskId }),
    { code: 'FailedPrecondition', reason: 'TASK_STATE_INVALID' },
  ],
  [
    'ResumeUpload of a task that was cancelled',
    ({ images }, { cancelled }) => images.resumeUpload({ taskId: cancelled.taskId }),
    { code: 'FailedPrecondition', reason: 'TASK_TERMINAL' },
  ],
];
