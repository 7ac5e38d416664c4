import { createClient, type Client, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_Outlook, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { ImageService, type UploadImageResponse } from '../../gen/darkroom/v1/image_service_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { grpcJsClient } from '../../src/client/grpc-js-client.ts';
import { errorDetails } from '../clients/grpc-js-errors.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { failureOf, type Failure } from '../support/failures.ts';
import { startService, uploadFrames, type RunningService } from '../support/running-service.ts';
import { expectSound } from '../support/sound-service.ts';
import { createRequest } from './bad-input/case.ts';
import {
  chunk,
  content,
  good,
  goodBytes,
  header,
  streamCases,
  type Frame,
  type StreamCase,
} from './bad-input/stream-cases.ts';

const MiB = 1024 * 1024;
let service: RunningService;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({}, cleanUps.defer);
  return cleanUps.run;
});

async function createTask(): Promise<{ imageId: string; taskId: string }> {
  const { image, task } = await service.images.createImage(createRequest({ name: 'bad upload' }));
  return { imageId: image!.id, taskId: task!.id };
}

/** A client that notices nothing: it goes on to send after the frame that was wrong, unless that was its last. */
async function* floodAfter(frames: Frame[], chunkBytes: number): AsyncGenerator<Frame, void> {
  yield* frames;
  if (frames.length > 0 && frames.at(-1)!.frame?.case !== 'finish') {
    const data = Buffer.alloc(chunkBytes);
    for (let i = 0; i < 8; i++) {
      yield chunk(i * chunkBytes, data);
    }
  }
}

async function expectFault(
  taskId: string,
  expected: Partial<Failure>,
  fatal: boolean,
): Promise<void> {
  const { faults } = await service.tasks.listFaults({ of: { case: 'taskId', value: taskId } });
  expect(faults).toMatchObject([{ reason: expected.reason, fatal }]);
}

async function expectStanding(taskId: string, expected: Partial<Failure>, then: StreamCase[3]) {
  const { task } = await service.tasks.getTask({ taskId });
  switch (then) {
    case 'untouched':
      expect(task).toMatchObject({ state: Task_State.PENDING, faultCount: 0 });
      break;
    case 'goes on': {
      expect(task?.state).toBe(Task_State.RUNNING);
      await expectFault(taskId, expected, false);
      const { committedSize, writerEpoch } = await service.images.resumeUpload({ taskId });
      expect(committedSize).toBe(BigInt(goodBytes));
      const rest = { taskId, offset: Number(committedSize), writerEpoch };
      const answer = await service.images.uploadImage(uploadFrames(content, rest));
      expect(answer).toMatchObject({ complete: true, image: { state: Image_State.ACTIVE } });
      break;
    }
    case 'failed': {
      expect(task?.state).toBe(Task_State.FAILED);
      await expectFault(taskId, expected, true);
      const { image } = await service.images.getImage({ imageId: task!.imageId });
      expect(image).toMatchObject({
        state: Image_State.QUEUED,
        outlook: Image_Outlook.NOT_COMING,
        lastFault: { reason: expected.reason },
      });
    }
  }
}

describe('the client of an upload stream is told code, reason and field, and the task goes on or fails, after', () => {
  test.each(streamCases)('%s', async (_, frames, expected, then) => {
    const { taskId } = await createTask();
    const failure = await failureOf(
      service.images.uploadImage(floodAfter(frames(taskId), goodBytes)),
    );
    expect(failure).toMatchObject(expected);
    await expectStanding(taskId, expected, then);
  });

  test('a chunk that is not even read', async () => {
    const { taskId } = await createTask();
    const frames = [header(taskId), good, chunk(goodBytes, Buffer.alloc(16 * MiB))];
    // Node's HTTP/2 clients take no answer while more than 10 MB of theirs wait to be sent, unless they are told to.
    const nodeOptions = { maxSessionMemory: 100 };
    const transport = createGrpcTransport({ baseUrl: service.process.url, nodeOptions });
    const images = createClient(ImageService, transport);
    const failure = await failureOf(images.uploadImage(floodAfter(frames, MiB)));
    const expected: Partial<Failure> = { code: 'ResourceExhausted', reason: 'CHUNK_TOO_LARGE' };
    expect(failure).toMatchObject(expected);
    await expectFault(taskId, expected, false);
  });

  test('a second stream while the first one lives', async () => {
    const { taskId } = await createTask();
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    const first = service.images.uploadImage(
      (async function* () {
        yield header(taskId);
        yield good;
        await over;
      })(),
    );
    await expect
      .poll(async () => (await service.tasks.getTask({ taskId })).task?.state)
      .toBe(Task_State.RUNNING);
    const second = await failureOf(service.images.uploadImage(floodAfter([header(taskId)], MiB)));
    expect(second).toMatchObject({
      code: 'FailedPrecondition',
      reason: 'WRITER_ACTIVE',
      metadata: { writer: expect.stringMatching(/^127\.0\.0\.1:\d+$/), since: expect.any(String) },
    });
    end();
    expect(await first).toMatchObject({ complete: false, committedSize: BigInt(goodBytes) });
  });
});

describe('an error in the middle of a stream arrives as itself, while the client still sends, over', () => {
  const wrong = (taskId: string): Frame[] => [header(taskId), good, chunk(9 * MiB, content)];
  const expected = { code: 'Aborted', reason: 'OFFSET_MISMATCH' } as const;

  test.each([
    ['gRPC of connect-node', (baseUrl: string) => createGrpcTransport({ baseUrl })],
    [
      'gRPC-Web over HTTP/2',
      (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: '2' }),
    ],
    [
      'gRPC-Web over HTTP/1.1',
      (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: '1.1' }),
    ],
    [
      'Connect over HTTP/2',
      (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: '2' }),
    ],
    [
      'Connect over HTTP/1.1',
      (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: '1.1' }),
    ],
  ] as const)('%s', async (_, transportTo: (baseUrl: string) => Transport) => {
    const { taskId } = await createTask();
    const images: Client<typeof ImageService> = createClient(
      ImageService,
      transportTo(service.process.url),
    );
    const failure = await failureOf(images.uploadImage(floodAfter(wrong(taskId), MiB)));
    expect(failure).toMatchObject(expected);
    await expectStanding(taskId, expected, 'goes on');
  });

  test('gRPC of grpc-js', async () => {
    const { taskId } = await createTask();
    using client = disposable(grpcJsClient(ImageService, new URL(service.process.url).host));
    const { promise, resolve, reject } = Promise.withResolvers<UploadImageResponse>();
    const stream = client.uploadImage((error, answer) =>
      error ? reject(error) : resolve(answer!),
    );
    for await (const frame of floodAfter(wrong(taskId), MiB)) {
      stream.write(frame);
    }
    const error = await promise.then(
      () => expect.unreachable(),
      (failure: unknown) => failure,
    );
    expect(error).toMatchObject({ code: 10 });
    expect(errorDetails(error).reason).toBe(expected.reason);
    await expectStanding(taskId, expected, 'goes on');
  });
});

function disposable<T extends { close(): void }>(client: T): T & Disposable {
  return Object.assign(client, { [Symbol.dispose]: () => client.close() });
}

test('after all that the service does its work, and none of the streams was a defect of it', async () => {
  await expectSound(service);
});
