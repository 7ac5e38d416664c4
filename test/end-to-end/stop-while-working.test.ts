import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, test, vi } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../gen/grpc/health/v1/health_pb.ts';
import { failureOf } from '../support/failures.ts';
import { holdUpload, patience, untilCommitted, type HeldUpload } from '../support/held-upload.ts';
import { envelope, rawPost, statusOf } from '../support/raw-http.ts';
import {
  downloadBytes,
  startService,
  uploadFrames,
  type RunningService,
} from '../support/running-service.ts';
import { createRequest } from './bad-input/case.ts';

// Services that start and stop again, on however busy a machine.
vi.setConfig({ testTimeout: 240_000 });

const MiB = 1024 * 1024;
const bytes = Buffer.alloc(3 * MiB, 'drained');
const draining = { code: 'Unavailable', reason: 'SERVER_DRAINING', hasRetryInfo: true } as const;

/** An upload of which 2 of its 3 MiB are acknowledged. */
async function beginUpload(
  service: RunningService,
): Promise<HeldUpload & { readonly imageId: string }> {
  const { image, task } = await service.images.createImage(createRequest());
  const stream = holdUpload(service.images, task!.id);
  stream.send(0, bytes.subarray(0, 2 * MiB));
  await untilCommitted(service, task!.id, 2 * MiB);
  return { ...stream, imageId: image!.id };
}

async function untilDraining({ process }: RunningService): Promise<void> {
  await expect
    .poll(() => process.log.some(({ msg }) => msg?.startsWith('stopping')), patience)
    .toBe(true);
}

describe('a service that is asked to stop', () => {
  test('ends watches at once, with when to try again', async () => {
    const service = await startService({ DARKROOM_DRAIN_TIMEOUT_MS: '60000' });
    const { task } = await service.images.createImage(createRequest());
    const one = service.tasks.watchTask({ taskId: task!.id })[Symbol.asyncIterator]();
    const all = service.tasks.watchTasks({})[Symbol.asyncIterator]();
    expect((await one.next()).value).toMatchObject({ content: { case: 'snapshot' } });
    expect((await all.next()).value).toMatchObject({ content: { case: 'task' } });
    expect((await all.next()).value).toMatchObject({ content: { case: 'synced' } });

    const ends = Promise.all([failureOf(one.next()), failureOf(all.next())]);
    expect(await service.process.kill('SIGTERM')).toBe(0);
    expect(await ends).toMatchObject([draining, draining]);
  });

  test('lets a running upload end, and says meanwhile that it is not serving', async () => {
    const service = await startService({ DARKROOM_DRAIN_TIMEOUT_MS: '60000' });
    const transport = createGrpcTransport({ baseUrl: service.process.url });
    const health = createClient(Health, transport).watch({})[Symbol.asyncIterator]();
    expect((await health.next()).value).toMatchObject({ status: ServingStatus.SERVING });
    const upload = await beginUpload(service);

    service.process.signal('SIGTERM');
    expect((await health.next()).value).toMatchObject({ status: ServingStatus.NOT_SERVING });
    expect(await failureOf(health.next())).toMatchObject(draining);
    const late = createClient(Health, createGrpcTransport({ baseUrl: service.process.url }));
    expect(await failureOf(late.check({}))).toMatchObject({ code: 'Unavailable' });

    upload.send(2 * MiB, bytes.subarray(2 * MiB));
    upload.finish(bytes.length);
    expect(await upload.answer).toMatchObject({
      complete: true,
      image: { state: Image_State.ACTIVE },
    });
    expect(await service.process.exited).toBe(0);
  });

  test('ends an upload that takes longer, keeps its bytes, and the next service goes on with it', async () => {
    const service = await startService({ DARKROOM_DRAIN_TIMEOUT_MS: '100' });
    const { taskId, imageId, answer } = await beginUpload(service);
    service.process.signal('SIGTERM');
    expect(await failureOf(answer)).toMatchObject({
      ...draining,
      metadata: { committed_size: String(2 * MiB), task_id: taskId },
    });
    expect(await service.process.exited).toBe(0);

    const next = await service.another();
    const { task } = await next.tasks.getTask({ taskId });
    expect(task?.state).toBe(Task_State.RUNNING);
    const { faults } = await next.tasks.listFaults({ of: { case: 'taskId', value: taskId } });
    expect(faults).toMatchObject([
      { reason: 'SERVER_DRAINING', fatal: false, retryable: true, offset: BigInt(2 * MiB) },
    ]);
    const { committedSize, writerEpoch } = await next.images.resumeUpload({ taskId });
    expect(committedSize).toBe(BigInt(2 * MiB));
    const rest = { taskId, offset: 2 * MiB, writerEpoch };
    expect(await next.images.uploadImage(uploadFrames(bytes, rest))).toMatchObject({
      complete: true,
    });
    expect((await downloadBytes(next.images, imageId)).bytes.equals(bytes)).toBe(true);
  });

  test('ends a call of which the rest never comes', async () => {
    const service = await startService({ DARKROOM_DRAIN_TIMEOUT_MS: '100' });
    const half = rawPost(
      service.process.url,
      '/darkroom.v1.ImageService/UploadChunk',
      'application/grpc',
      envelope(Buffer.alloc(1000), { length: 2000 }),
      { leaveOpen: true },
    );
    await service.images.listImages({});
    service.process.signal('SIGTERM');
    expect(statusOf(await half)).toMatchObject({ code: 14, reason: 'SERVER_DRAINING' });
    expect(await service.process.exited).toBe(0);
  });

  test('ends at once when it is asked again, and loses nothing that it acknowledged', async () => {
    const service = await startService({ DARKROOM_DRAIN_TIMEOUT_MS: '600000' });
    const { taskId } = await beginUpload(service);
    service.process.signal('SIGTERM');
    await untilDraining(service);
    expect(await service.process.kill('SIGINT')).toBe(1);

    const next = await service.another();
    const { faults } = await next.tasks.listFaults({ of: { case: 'taskId', value: taskId } });
    expect(faults).toMatchObject([{ reason: 'SERVICE_LOST', offset: BigInt(2 * MiB) }]);
    const { committedSize } = await next.images.resumeUpload({ taskId });
    expect(committedSize).toBe(BigInt(2 * MiB));
  });
});
