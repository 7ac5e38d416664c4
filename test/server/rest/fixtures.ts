import { afterAll, beforeAll } from 'vitest';
import { Code } from '../../../gen/google/rpc/code_pb.ts';
import { startService, type RunningService } from '../../support/running-service.ts';

/** A service that all tests of a file share. @param env settings beyond the defaults. */
export function sharedService(env: Readonly<Record<string, string>> = {}): () => RunningService {
  const cleanUps: (() => Promise<void>)[] = [];
  let service: RunningService | undefined;
  beforeAll(async () => {
    service = await startService(env, (cleanUp) => cleanUps.push(cleanUp));
  });
  afterAll(async () => {
    for (const cleanUp of cleanUps.toReversed()) {
      await cleanUp();
    }
  });
  return () => {
    if (service === undefined) {
      throw new Error('the service is not started yet');
    }
    return service;
  };
}

/** A new image and its task, as the tests name them. */
export interface MadeTask {
  readonly taskId: string;
  readonly imageId: string;
}

/** An image that a client is to send in. */
export async function makeUpload(service: RunningService): Promise<MadeTask> {
  return made(
    await service.images.createImage({
      image: { name: 'disk', diskFormat: 1 },
      source: { case: 'upload', value: {} },
    }),
  );
}

/** An image that a compute service is to take of an instance. */
export async function makeSnapshot(service: RunningService, requestId = ''): Promise<MadeTask> {
  return made(
    await service.images.createImage({
      image: { name: 'snapshot', diskFormat: 1 },
      source: {
        case: 'snapshot',
        value: { totalSize: 10n, sha256: 'ab'.repeat(32), labels: { instance: '8b3e' } },
      },
      requestId,
    }),
  );
}

function made({ task }: { readonly task?: { id: string; imageId: string } | undefined }): MadeTask {
  return { taskId: task?.id ?? '', imageId: task?.imageId ?? '' };
}

/** Sends an upload's bytes; with a finish, if they are all. */
export async function sendBytes(
  service: RunningService,
  { taskId }: MadeTask,
  data: Uint8Array<ArrayBuffer>,
  isAll: boolean,
): Promise<void> {
  await service.images.uploadChunk({
    taskId,
    data,
    ...(isAll && { finish: { totalSize: BigInt(data.length) } }),
  });
}

/** The producer says that the instance's disk could not be read. */
export async function failRead(
  service: RunningService,
  { taskId }: MadeTask,
  fatal: boolean,
): Promise<void> {
  await service.tasks.reportFault({
    taskId,
    code: Code.INTERNAL,
    reason: 'DISK_READ_FAILED',
    message: 'The disk of the instance could not be read.',
    detail: 'for operators: sector 7',
    fatal,
  });
}

/** One task in each state that there is. */
export interface TasksOfAllStates {
  readonly pending: MadeTask;
  readonly running: MadeTask;
  readonly succeeded: MadeTask;
  readonly failed: MadeTask;
  readonly cancelled: MadeTask;
}

/** Makes them, in this order. */
export async function makeTasksOfAllStates(service: RunningService): Promise<TasksOfAllStates> {
  const pending = await makeSnapshot(service, 'request-1');
  const running = await makeUpload(service);
  await sendBytes(service, running, Buffer.from('hello'), false);
  const succeeded = await makeUpload(service);
  await sendBytes(service, succeeded, Buffer.from('hello'), true);
  const failed = await makeSnapshot(service);
  await failRead(service, failed, true);
  const cancelled = await makeUpload(service);
  await service.tasks.cancelTask({ taskId: cancelled.taskId, reason: 'wrong machine' });
  return { pending, running, succeeded, failed, cancelled };
}
