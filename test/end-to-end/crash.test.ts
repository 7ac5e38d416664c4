import { randomBytes } from 'node:crypto';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { Image_Outlook, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import type { UploadImageResponse } from '../../gen/darkroom/v1/image_service_pb.ts';
import { Phase } from '../../gen/darkroom/v1/phase_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { failureOf } from '../support/failures.ts';
import { holdUpload, patience, untilCommitted } from '../support/held-upload.ts';
import {
  downloadBytes,
  startService,
  uploadFrames,
  type RunningService,
} from '../support/running-service.ts';
import { disagreements, readStoredSegments } from '../support/stored-segments.ts';
import { createRequest } from './bad-input/case.ts';

// Services that start again and again, on however busy a machine.
vi.setConfig({ testTimeout: 240_000 });

const MiB = 1024 * 1024;
/** Takes some tenths of a second to check, and no room. */
const zeros = {
  length: 512 * MiB,
  sha256: '9acca8e8c22201155389f65abbf6bc9723edc7384ead80503839f49dcc56d767',
};

async function createTask({ images }: RunningService, name: string) {
  const { image, task } = await images.createImage(createRequest({ name }));
  return { imageId: image!.id, taskId: task!.id };
}

async function taskOf({ tasks }: RunningService, taskId: string) {
  return (await tasks.getTask({ taskId })).task!;
}

async function faultsOf({ tasks }: RunningService, taskId: string) {
  return (await tasks.listFaults({ of: { case: 'taskId', value: taskId } })).faults;
}

async function expectStoresToAgree(service: RunningService): Promise<void> {
  await expect
    .poll(async () => disagreements(await readStoredSegments(service)), patience)
    .toEqual([]);
}

describe('a service that is killed in the middle of several uploads', () => {
  test('comes back with no image that is not whole, says what happened, and all of them go on', async () => {
    const service = await startService({}, onTestFinished, 'disk');
    const bytes = randomBytes(5 * MiB + 321);
    const [whole, half, withHole, begun, waiting] = await Promise.all(
      ['whole', 'half', 'with a hole', 'begun', 'waiting'].map((name) => createTask(service, name)),
    );
    await service.images.uploadImage(uploadFrames(bytes, { taskId: whole!.taskId }));

    const halfStream = holdUpload(service.images, half!.taskId);
    halfStream.send(0, bytes.subarray(0, 3 * MiB));
    const holeStream = holdUpload(service.images, withHole!.taskId);
    holeStream.send(0, bytes.subarray(0, MiB));
    holeStream.sendHole(MiB, 7 * MiB);
    holdUpload(service.images, begun!.taskId);
    await untilCommitted(service, half!.taskId, 3 * MiB);
    await untilCommitted(service, withHole!.taskId, 8 * MiB);
    await expect
      .poll(async () => (await taskOf(service, begun!.taskId)).state, patience)
      .toBe(Task_State.RUNNING);
    // On the disk, perhaps, but not acknowledged by the time of the crash.
    halfStream.send(3 * MiB, bytes.subarray(3 * MiB, 4 * MiB));
    expect(await service.process.kill('SIGKILL')).toBe('SIGKILL');

    const next = await service.another();
    for (const { imageId } of [half!, withHole!, begun!, waiting!]) {
      const { image } = await next.images.getImage({ imageId });
      expect(image).toMatchObject({ state: Image_State.QUEUED, outlook: Image_Outlook.EXPECTED });
    }
    expect((await downloadBytes(next.images, whole!.imageId)).bytes.equals(bytes)).toBe(true);
    await expectStoresToAgree(next);

    for (const [{ taskId }, least] of [
      [half!, 3 * MiB],
      [withHole!, 8 * MiB],
      [begun!, 0],
    ] as const) {
      const [fault, ...others] = await faultsOf(next, taskId);
      expect(others).toEqual([]);
      expect(fault).toMatchObject({ reason: 'SERVICE_LOST', fatal: false, retryable: true });
      expect(Number(fault!.offset)).toBeGreaterThanOrEqual(least);
      const task = await taskOf(next, taskId);
      expect(task).toMatchObject({
        state: Task_State.RUNNING,
        progress: { bytesDone: fault!.offset },
      });
    }
    expect(await taskOf(next, waiting!.taskId)).toMatchObject({
      state: Task_State.PENDING,
      faultCount: 0,
    });

    const holed = Buffer.concat([bytes.subarray(0, MiB), Buffer.alloc(7 * MiB), bytes]);
    for (const [{ imageId, taskId }, content] of [
      [half!, bytes],
      [withHole!, holed],
      [begun!, bytes],
    ] as const) {
      const { committedSize, writerEpoch } = await next.images.resumeUpload({ taskId });
      const rest = { taskId, offset: Number(committedSize), writerEpoch };
      const answer = await next.images.uploadImage(uploadFrames(content, rest));
      expect(answer).toMatchObject({ complete: true, image: { state: Image_State.ACTIVE } });
      expect((await downloadBytes(next.images, imageId)).bytes.equals(content)).toBe(true);
    }
    await next.images.uploadImage(uploadFrames(bytes, { taskId: waiting!.taskId }));
    await expectStoresToAgree(next);
  });
});

describe('a service that is killed after the finish and before the answer', () => {
  async function killWhileVerifying(): Promise<{
    service: RunningService;
    imageId: string;
    taskId: string;
  }> {
    const service = await startService({}, onTestFinished, 'disk');
    const { imageId, taskId } = await createTask(service, 'zeros');
    const stream = holdUpload(service.images, taskId);
    stream.sendHole(0, zeros.length);
    stream.finish(zeros.length);
    for await (const { content } of service.tasks.watchTask({ taskId })) {
      expect(content.case).not.toBe('heartbeat');
      if (content.case === 'update' && content.value.event?.phase === Phase.VERIFYING) {
        break;
      }
    }
    await service.process.kill('SIGKILL');
    return { service: await service.another(), imageId, taskId };
  }

  test('completes the task by itself once it is back', async () => {
    const { service, imageId, taskId } = await killWhileVerifying();
    await expect
      .poll(async () => (await taskOf(service, taskId)).state, patience)
      .toBe(Task_State.SUCCEEDED);
    expect(await faultsOf(service, taskId)).toMatchObject([
      {
        reason: 'SERVICE_LOST',
        fatal: false,
        offset: BigInt(zeros.length),
        phase: Phase.VERIFYING,
      },
    ]);
    const { image } = await service.images.getImage({ imageId });
    expect(image).toMatchObject({
      state: Image_State.ACTIVE,
      sizeBytes: BigInt(zeros.length),
      sha256: zeros.sha256,
    });
    await expectStoresToAgree(service);
  });

  test('takes the same finish again from a client that got no answer', async () => {
    const { service, taskId } = await killWhileVerifying();
    const { committedSize, writerEpoch } = await service.images.resumeUpload({ taskId });
    expect(committedSize).toBe(BigInt(zeros.length));
    const complete = {
      complete: true,
      committedSize,
      image: { state: Image_State.ACTIVE, sha256: zeros.sha256 },
    };
    expect(await finishAgain(service, taskId, writerEpoch)).toMatchObject(complete);
    expect(await finishAgain(service, taskId)).toMatchObject(complete);
  });

  /** As the protocol has it: resumes until there is an answer, for the service itself may be at it. */
  async function finishAgain(
    service: RunningService,
    taskId: string,
    writerEpoch?: bigint,
  ): Promise<UploadImageResponse> {
    const stream = holdUpload(service.images, taskId, writerEpoch);
    stream.finish(zeros.length, zeros.sha256);
    const answer = await stream.answer.catch(async (error: unknown) => {
      expect((await failureOf(Promise.reject(error))).reason).toBe('WRITER_ACTIVE');
    });
    if (answer) {
      return answer;
    }
    const resumed = await service.images.resumeUpload({ taskId });
    return finishAgain(service, taskId, resumed.writerEpoch);
  }
});
