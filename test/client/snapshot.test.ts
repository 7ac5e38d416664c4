import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { beforeAll, expect, test } from 'vitest';
import { Code } from '../../gen/google/rpc/code_pb.ts';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State, Task_Type } from '../../gen/darkroom/v1/task_pb.ts';
import { ProducerFault, type DarkroomClient } from '../../src/client/exports.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { hasty, roads } from './clients.ts';

const bytes = randomBytes(3_000_000);
const image = { name: 'web-1', diskFormat: Image_DiskFormat.RAW };

let service: RunningService;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({}, cleanUps.defer);
  return cleanUps.run;
});

function client(): DarkroomClient {
  return roads['connect-node, gRPC']!(service.process.url, { retry: hasty });
}

test('a snapshot tells how far it is, and becomes an image', async () => {
  const darkroom = client();
  let taskId = '';
  const result = await darkroom.runSnapshot(
    { image, labels: { instance: '8b3e' }, onTask: (ids) => void (taskId = ids.taskId) },
    async ({ task, report }) => {
      expect(task.id).toBe(taskId);
      await report({ message: 'The disk is being copied', bytesDone: 5, bytesTotal: 10 });
      const { task: now } = await darkroom.tasks.getTask({ taskId });
      expect(now).toMatchObject({
        type: Task_Type.SNAPSHOT,
        labels: { instance: '8b3e' },
        message: 'The disk is being copied',
        progress: { bytesDone: 5n, bytesTotal: 10n },
      });
      return Readable.from([bytes.subarray(0, 1_000_000), bytes.subarray(1_000_000)]);
    },
  );
  expect(result).toMatchObject({ image: { state: Image_State.ACTIVE }, sizeBytes: bytes.length });
  expect(await darkroom.waitForImage(result.image.id)).toMatchObject({ state: Image_State.ACTIVE });
});

test.each([
  [
    'before a byte',
    () => {
      throw new ProducerFault('DISK_UNREADABLE', 'A sector of the disk is gone.', {
        code: Code.DATA_LOSS,
        detail: 'EIO',
      });
    },
    {
      reason: 'DISK_UNREADABLE',
      code: Code.DATA_LOSS,
      message: 'A sector of the disk is gone.',
      detail: 'EIO',
    },
  ],
  [
    'while bytes go',
    () =>
      Readable.from(
        (async function* () {
          yield bytes;
          throw new Error('the hypervisor \u{202e}is\u0000 gone');
        })(),
      ),
    {
      reason: 'PRODUCER_FAILED',
      code: Code.INTERNAL,
      message: 'the hypervisor \u{FFFD}is\u{FFFD} gone',
      detail: expect.stringContaining('snapshot.test.ts') as string,
    },
  ],
])('what a producer throws %s is a fault, and who waits is told', async (_, producer, fault) => {
  const darkroom = client();
  let imageId = '';
  const taken = darkroom.runSnapshot(
    { image, onTask: (ids) => void (imageId = ids.imageId) },
    producer,
  );
  await expect(taken).rejects.toMatchObject({
    reason: 'PRODUCER_FAILED',
    message: fault.message,
    fault: { ...fault, fatal: true },
  });
  await expect(darkroom.waitForImage(imageId)).rejects.toMatchObject({
    reason: fault.reason,
    code: fault.code,
    origin: 'service',
  });
});

test('a producer learns at once that its task was cancelled', async () => {
  const darkroom = client();
  const taken = darkroom.runSnapshot({ image }, async ({ task, signal }) => {
    await darkroom.tasks.cancelTask({ taskId: task.id, reason: 'no more' });
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    throw new Error('stopped');
  });
  await expect(taken).rejects.toMatchObject({ reason: 'TASK_CANCELLED' });
});

test.each([
  ['cancelled', {}, Task_State.CANCELLED],
  ['left', { onAbort: 'leave' as const }, Task_State.PENDING],
])('the task of a snapshot that is aborted is %s', async (_, options, state) => {
  const darkroom = client();
  const abort = new AbortController();
  const reason = new Error('shutting down');
  let taskId = '';
  const taken = darkroom.runSnapshot({ image, signal: abort.signal, ...options }, ({ task }) => {
    taskId = task.id;
    abort.abort(reason);
    return [bytes];
  });
  await expect(taken).rejects.toBe(reason);
  expect((await darkroom.tasks.getTask({ taskId })).task?.state).toBe(state);
});

test('a producer that is silent for long keeps its task alive', async () => {
  const darkroom = client();
  const result = await darkroom.runSnapshot({ image, idleTimeoutMs: 1000 }, async ({ task }) => {
    const { task: first } = await darkroom.tasks.getTask({ taskId: task.id });
    await expect
      .poll(async () => {
        const { task: now } = await darkroom.tasks.getTask({ taskId: task.id });
        return Number(now!.expireTime!.seconds - first!.expireTime!.seconds);
      })
      .toBeGreaterThanOrEqual(2);
    return [bytes];
  });
  expect(result.image.state).toBe(Image_State.ACTIVE);
});
