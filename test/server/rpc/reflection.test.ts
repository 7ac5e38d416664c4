import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { equals, fromBinary, toBinary, type DescFile } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, type FileDescriptorProto } from '@bufbuild/protobuf/wkt';
import { createClient } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { ImageService } from '../../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { Health } from '../../../gen/grpc/health/v1/health_pb.ts';
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from '../../../gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as ServerReflectionAlpha } from '../../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { DescriptorIndex } from '../../../src/server/rpc/descriptor-index.ts';
import { startFakeServer, transportOf } from '../fake-server.ts';

type Asked = ServerReflectionRequest['messageRequest'];
type Answered = ServerReflectionResponse['messageResponse'];

/** Asks in one stream, as tools do. */
async function ask(
  service: typeof ServerReflection | typeof ServerReflectionAlpha,
  ...asked: Asked[]
): Promise<Answered[]> {
  const server = await startFakeServer();
  const client = createClient(
    service as typeof ServerReflection,
    transportOf(server.url, { protocol: 'grpc', httpVersion: '2' }),
  );
  const answers: Answered[] = [];
  const requests = asked.map((messageRequest) => ({ host: 'here', messageRequest }));
  const responses = client.serverReflectionInfo(
    (async function* () {
      yield* requests;
    })(),
  );
  for await (const { validHost, originalRequest, messageResponse } of responses) {
    expect(validHost).toBe('here');
    expect(originalRequest?.messageRequest.case).toBe(asked[answers.length]?.case);
    answers.push(messageResponse);
  }
  return answers;
}

function filesOf(answer: Answered | undefined): FileDescriptorProto[] {
  return answer?.case === 'fileDescriptorResponse'
    ? answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes))
    : [];
}

describe.each([
  ['v1', ServerReflection],
  ['v1alpha', ServerReflectionAlpha],
] as const)('grpc.reflection.%s', (_, service) => {
  it('lists the services', async () => {
    const [answer] = await ask(service, { case: 'listServices', value: '*' });
    expect(answer).toMatchObject({
      case: 'listServicesResponse',
      value: {
        service: [
          { name: 'darkroom.v1.ImageService' },
          { name: 'darkroom.v1.TaskService' },
          { name: 'grpc.health.v1.Health' },
          { name: 'grpc.reflection.v1.ServerReflection' },
          { name: 'grpc.reflection.v1alpha.ServerReflection' },
        ],
      },
    });
  });

  it('gives a file with all that it imports, and nothing twice', async () => {
    const [first, second] = await ask(
      service,
      { case: 'fileByFilename', value: 'darkroom/v1/task.proto' },
      { case: 'fileContainingSymbol', value: 'darkroom.v1.TaskService' },
    );
    expect(filesOf(first).map(({ name }) => name)).toEqual([
      'darkroom/v1/task.proto',
      'darkroom/v1/fault.proto',
      'darkroom/v1/phase.proto',
      'google/protobuf/timestamp.proto',
      'google/rpc/code.proto',
    ]);
    expect(filesOf(second).map(({ name }) => name)).toEqual([
      'darkroom/v1/task_service.proto',
      'google/protobuf/duration.proto',
    ]);
  });

  it.each([
    'darkroom.v1.Task',
    'darkroom.v1.Task.Progress',
    'darkroom.v1.Task.state',
    'darkroom.v1.Task.State',
    'darkroom.v1.TaskService.WatchTask',
    'darkroom.v1.WatchTaskResponse.content',
    'darkroom.v1.TASK_ORDER_UNSPECIFIED',
    'google.rpc.NOT_FOUND',
  ])('finds the symbol %s', async (value) => {
    const [answer] = await ask(service, { case: 'fileContainingSymbol', value });
    expect(answer?.case).toBe('fileDescriptorResponse');
  });

  it('says what there is not, and goes on', async () => {
    const answers = await ask(
      service,
      { case: 'fileByFilename', value: 'nothing.proto' },
      { case: 'fileContainingSymbol', value: 'no.Such' },
      {
        case: 'fileContainingExtension',
        value: {
          $typeName: 'grpc.reflection.v1.ExtensionRequest',
          containingType: 'darkroom.v1.Task',
          extensionNumber: 1,
        },
      },
      { case: 'allExtensionNumbersOfType', value: 'no.Such' },
      { case: undefined },
      { case: 'allExtensionNumbersOfType', value: 'darkroom.v1.Task' },
    );
    expect(answers).toMatchObject([
      { case: 'errorResponse', value: { errorCode: 5 } },
      { case: 'errorResponse', value: { errorCode: 5 } },
      { case: 'errorResponse', value: { errorCode: 5 } },
      { case: 'errorResponse', value: { errorCode: 5 } },
      { case: 'errorResponse', value: { errorCode: 3 } },
      {
        case: 'allExtensionNumbersResponse',
        value: { baseTypeName: 'darkroom.v1.Task', extensionNumber: [] },
      },
    ]);
  });
});

describe('the descriptors', () => {
  const services = [ImageService, TaskService, Health];
  const index = new DescriptorIndex(services);

  function generated(file: DescFile, found = new Map<string, DescFile>()): Map<string, DescFile> {
    found.set(file.proto.name, file);
    file.dependencies.forEach((dependency) => generated(dependency, found));
    return found;
  }

  it('have the comments', () => {
    const file = index.fileBySymbol('darkroom.v1.ImageService');
    const comments = file?.proto.sourceCodeInfo?.location.map((one) => one.leadingComments ?? '');
    expect(comments?.join('')).toContain(
      'ImageService keeps images and takes and gives their bytes.',
    );
  });

  it('agree with the generated code: else run `npm run generate`', () => {
    for (const service of services) {
      for (const [name, file] of generated(service.file)) {
        const served = index.fileByName(name);
        expect(served, name).toBeDefined();
        const bare = fromBinary(FileDescriptorProtoSchema, index.encoded(served!));
        delete bare.sourceCodeInfo;
        const embedded = fromBinary(
          FileDescriptorProtoSchema,
          toBinary(FileDescriptorProtoSchema, file.proto),
        );
        expect(equals(FileDescriptorProtoSchema, bare, embedded), name).toBe(true);
      }
    }
  });
});

it('is enough for buf curl', async () => {
  const server = await startFakeServer({
    images: { getImage: ({ imageId }) => ({ image: { id: imageId, name: 'by reflection' } }) },
  });
  const curl = async (...args: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)('node_modules/.bin/buf', [
      'curl',
      '--http2-prior-knowledge',
      '--protocol=grpc',
      ...args,
    ]);
    return stdout;
  };
  expect(await curl(server.url, '--list-methods')).toContain('darkroom.v1.ImageService/GetImage');
  const answer = await curl(
    '--data',
    '{"imageId": "a"}',
    `${server.url}/darkroom.v1.ImageService/GetImage`,
  );
  expect(JSON.parse(answer)).toEqual({ image: { id: 'a', name: 'by reflection' } });
});
