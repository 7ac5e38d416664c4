import { once } from 'node:events';
import type { MessageInitShape } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import {
  ImageService,
  type UploadImageRequestSchema,
  type UploadImageResponse,
} from '../../gen/darkroom/v1/image_service_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { TaskService, type WatchTaskResponse } from '../../gen/darkroom/v1/task_service_pb.ts';
import { Health, HealthCheckResponse_ServingStatus } from '../../gen/grpc/health/v1/health_pb.ts';
import { grpcJsClient, unary, type GrpcJsClient } from '../../src/client/grpc-js-client.ts';
import { errorDetails } from '../clients/grpc-js-errors.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startService, uploadFrames, type RunningService } from '../support/running-service.ts';

const MiB = 1024 * 1024;
/** For conditions that come to pass within ms on an idle machine. */
const patience = { timeout: 20_000 };
const never = '00000000-0000-7000-8000-000000000000';

let service: RunningService;
let images: GrpcJsClient<typeof ImageService>;
let tasks: GrpcJsClient<typeof TaskService>;
let health: GrpcJsClient<typeof Health>;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({}, cleanUps.defer);
  const { host } = new URL(service.process.url);
  images = grpcJsClient(ImageService, host);
  tasks = grpcJsClient(TaskService, host);
  health = grpcJsClient(Health, host);
  cleanUps.defer(async () => [images, tasks, health].forEach((client) => client.close()));
  return cleanUps.run;
});

type Upload = grpc.ClientWritableStream<MessageInitShape<typeof UploadImageRequestSchema>>;

function beginUpload(): { stream: Upload; answer: Promise<UploadImageResponse> } {
  const { promise: answer, resolve, reject } = Promise.withResolvers<UploadImageResponse>();
  const stream = images.uploadImage((error, response) =>
    error ? reject(error) : resolve(response!),
  );
  answer.catch(() => {});
  return { stream, answer };
}

/** Writes frames as the service takes them; answers how often it had to wait. */
async function writeAll(stream: Upload, frames: ReturnType<typeof uploadFrames>): Promise<number> {
  let waits = 0;
  for await (const frame of frames) {
    if (!stream.write(frame)) {
      waits += 1;
      await once(stream, 'drain');
    }
  }
  return waits;
}

async function createTask(name: string): Promise<{ imageId: string; taskId: string }> {
  const { image, task } = await unary(images.createImage.bind(images), {
    image: { name, diskFormat: Image_DiskFormat.RAW },
    source: { case: 'upload', value: {} },
  });
  return { imageId: image!.id, taskId: task!.id };
}

async function download(imageId: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const { part } of readAll(images.downloadImage({ imageId }))) {
    if (part.case === 'chunk') {
      parts.push(Buffer.from(part.value.data));
    } else if (part.case === 'hole') {
      parts.push(Buffer.alloc(Number(part.value.length)));
    }
  }
  return Buffer.concat(parts);
}

/** The messages of a server stream with their type, which Node's streams have lost. */
function readAll<T>(stream: grpc.ClientReadableStream<T>): AsyncIterable<T> {
  return stream;
}

async function failureOf(promise: Promise<unknown>): Promise<grpc.ServiceError> {
  return promise.then(
    () => expect.unreachable('the call should have failed'),
    (error: unknown) => error as grpc.ServiceError,
  );
}

describe('a service in Node with @grpc/grpc-js and the generated types', () => {
  test('uploads at the pace of the service, watches, and downloads the same bytes', async () => {
    const bytes = Buffer.alloc(24 * MiB, 'grpc-js');
    const { imageId, taskId } = await createTask('uploaded');
    const watch: AsyncIterable<WatchTaskResponse> = readAll(tasks.watchTask({ taskId }));
    const states: Task_State[] = [];
    const watched = (async () => {
      for await (const { content } of watch) {
        if (content.case === 'update') {
          states.push(content.value.event!.state);
        }
      }
    })();

    const { stream, answer } = beginUpload();
    const waits = await writeAll(stream, uploadFrames(bytes, { taskId }));
    stream.end();
    expect(await answer).toMatchObject({
      complete: true,
      committedSize: BigInt(bytes.length),
      image: { state: Image_State.ACTIVE },
    });
    expect(waits).toBeGreaterThan(0);
    await watched;
    expect(states[0]).toBe(Task_State.RUNNING);
    expect(states.at(-1)).toBe(Task_State.SUCCEEDED);
    expect((await download(imageId)).equals(bytes)).toBe(true);
  });

  test('reads what is wrong from the status details', async () => {
    const getImage = images.getImage.bind(images);
    const unknown = await failureOf(unary(getImage, { imageId: never }));
    expect(unknown).toMatchObject({ code: grpc.status.NOT_FOUND });
    expect(errorDetails(unknown)).toMatchObject({
      reason: 'IMAGE_NOT_FOUND',
      domain: 'darkroom',
      metadata: { image_id: never },
    });

    const invalid = await failureOf(unary(getImage, { imageId: 'x' }));
    expect(invalid).toMatchObject({ code: grpc.status.INVALID_ARGUMENT });
    expect(errorDetails(invalid)).toMatchObject({ reason: 'FIELD_INVALID', fields: ['image_id'] });
  });

  test('is told what is wrong while it still sends, and not that the stream was reset', async () => {
    const { taskId } = await createTask('refused');
    const { stream, answer } = beginUpload();
    stream.write({ frame: { case: 'header', value: { taskId } } });
    stream.write({ frame: { case: 'chunk', value: { offset: 5n, data: Buffer.alloc(MiB) } } });
    for (let i = 0; i < 8; i++) {
      stream.write({ frame: { case: 'chunk', value: { offset: 0n, data: Buffer.alloc(MiB) } } });
    }
    const error = await failureOf(answer);
    expect(error).toMatchObject({ code: grpc.status.ABORTED });
    expect(errorDetails(error)).toMatchObject({
      reason: 'OFFSET_MISMATCH',
      metadata: { expected_offset: '0', committed_size: '0', task_id: taskId },
    });
  });

  test('that cancels an upload in its middle leaves a survived fault, and resumes', async () => {
    const bytes = Buffer.alloc(6 * MiB, 'cancelled');
    const { imageId, taskId } = await createTask('cancelled');
    const first = beginUpload();
    await writeAll(first.stream, uploadFrames(bytes, { taskId, until: 4 * MiB }));
    const getTask = tasks.getTask.bind(tasks);
    await expect
      .poll(async () => (await unary(getTask, { taskId })).task?.progress?.bytesDone, patience)
      .toBe(BigInt(4 * MiB));
    first.stream.cancel();
    expect((await failureOf(first.answer)).code).toBe(grpc.status.CANCELLED);

    const listFaults = tasks.listFaults.bind(tasks);
    const faults = async () =>
      (await unary(listFaults, { of: { case: 'taskId', value: taskId } })).faults;
    await expect
      .poll(faults, patience)
      .toMatchObject([
        { reason: 'CONNECTION_LOST', fatal: false, retryable: true, offset: BigInt(4 * MiB) },
      ]);
    const resumed = await unary(images.resumeUpload.bind(images), { taskId });
    expect(resumed).toMatchObject({
      committedSize: BigInt(4 * MiB),
      task: { state: Task_State.RUNNING },
    });

    const second = beginUpload();
    await writeAll(
      second.stream,
      uploadFrames(bytes, { taskId, offset: 4 * MiB, writerEpoch: resumed.writerEpoch }),
    );
    second.stream.end();
    expect(await second.answer).toMatchObject({ complete: true });
    expect((await download(imageId)).equals(bytes)).toBe(true);
  });

  test('gets its deadline, and its request id back', async () => {
    const { taskId } = await createTask('waited for');
    const watch = tasks.watchTask({ taskId }, { deadline: Date.now() + 300 });
    const failed = once(watch, 'error');
    const [{ requestId }] = await Promise.all([metadataOf(watch), once(watch.resume(), 'data')]);
    expect(requestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(await failed).toMatchObject([{ code: grpc.status.DEADLINE_EXCEEDED }]);
    await expect
      .poll(() => service.process.log.find((line) => line['requestId'] === requestId), patience)
      // The client's own clock may be the first to end the call.
      .toMatchObject({ code: expect.stringMatching(/^(DEADLINE_EXCEEDED|CANCELED)$/) });
  });

  test('asks for the health of the server and of each service', async () => {
    const check = health.check.bind(health);
    for (const name of ['', ImageService.typeName, TaskService.typeName]) {
      const { status } = await unary(check, { service: name });
      expect(status).toBe(HealthCheckResponse_ServingStatus.SERVING);
    }
    const unknown = await failureOf(unary(check, { service: 'no.such.Service' }));
    expect(unknown.code).toBe(grpc.status.NOT_FOUND);
  });
});

async function metadataOf(
  stream: grpc.ClientReadableStream<unknown>,
): Promise<{ requestId: string }> {
  const [metadata] = (await once(stream, 'metadata')) as [grpc.Metadata];
  return { requestId: String(metadata.get('x-request-id')[0]) };
}
