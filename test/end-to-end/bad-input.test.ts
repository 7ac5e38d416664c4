import { createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { failureOf } from '../support/failures.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { databaseWords, expectSound } from '../support/sound-service.ts';
import { prepare, type Case, type Clients, type Standing } from './bad-input/case.ts';
import { chunkCases } from './bad-input/chunk-cases.ts';
import { createCases } from './bad-input/create-cases.ts';
import { idCases } from './bad-input/id-cases.ts';
import { imageCases } from './bad-input/image-cases.ts';
import { taskCases } from './bad-input/task-cases.ts';
import { timeCases } from './bad-input/time-cases.ts';

let service: RunningService;
let standing: Standing;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({}, cleanUps.defer);
  standing = await prepare(service);
  return cleanUps.run;
});

const cases = [...idCases, ...createCases, ...imageCases, ...taskCases, ...chunkCases];

function tell(casesOfProtocol: readonly Case[], clientsOf: (url: string) => Clients): void {
  test.each(casesOfProtocol)('%s', async (_name, call, expected) => {
    const failure = await failureOf(call(clientsOf(service.process.url), standing));
    expect(failure).toMatchObject(expected);
    expect(failure.message).not.toMatch(databaseWords);
  });
}

describe('over gRPC, the caller is told code, reason and field of', () => {
  tell([...cases, ...timeCases], (baseUrl) => clientsOver(createGrpcTransport({ baseUrl })));
});

describe('over Connect with JSON and HTTP/1.1, the caller is told code, reason and field of', () => {
  tell(cases, (baseUrl) =>
    clientsOver(createConnectTransport({ baseUrl, httpVersion: '1.1', useBinaryFormat: false })),
  );
});

function clientsOver(transport: Transport): Clients {
  return {
    images: createClient(ImageService, transport),
    tasks: createClient(TaskService, transport),
  };
}

describe('after all that', () => {
  test('nothing has changed', async () => {
    const { image } = await service.images.getImage({ imageId: standing.queued.imageId });
    expect(image).toMatchObject({ name: 'queued', state: Image_State.QUEUED });
  });

  test('the service does its work, and none of the calls was a defect of it', async () => {
    await expectSound(service);
  });
});
