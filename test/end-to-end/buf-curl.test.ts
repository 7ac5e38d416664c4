import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { beforeAll, describe, expect, test } from 'vitest';
import { CleanUps } from '../support/clean-ups.ts';
import { runProgram, startProgram, type ProgramResult } from '../support/programs.ts';
import { startService, type RunningService } from '../support/running-service.ts';

const buf = 'node_modules/.bin/buf';
const ImageService = 'darkroom.v1.ImageService';
const TaskService = 'darkroom.v1.TaskService';
/** buf curl ends with the gRPC code, three bits to the left. */
const exitOf = (code: number): number => code << 3;

let service: RunningService;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({}, cleanUps.defer);
  return cleanUps.run;
});

/** How buf curl prints an error. */
interface Refusal {
  readonly code: string;
  readonly details: readonly { readonly type: string; readonly value: string }[];
}

type Json = Readonly<Record<string, unknown>>;

function curl(path: string, frames: readonly Json[], ...options: string[]): Promise<ProgramResult> {
  return runProgram(buf, curlArguments(path, frames, options));
}

function curlArguments(path: string, frames: readonly Json[], options: string[]): string[] {
  const data = frames.map((frame) => JSON.stringify(frame)).join('\n');
  return ['curl', ...options, '-d', data, `${service.process.url}/${path}`];
}

/** The JSON documents of an output, one after the other. */
function documents(output: string): Json[] {
  return output
    .split(/\n(?=\{)/)
    .filter((text) => text.trim() !== '')
    .map((text) => JSON.parse(text) as Json);
}

async function answerOf(path: string, frames: readonly Json[], ...options: string[]) {
  const { code, output, errors } = await curl(path, frames, ...options);
  expect(code, errors).toBe(0);
  return documents(output)[0]!;
}

async function createImage(name: string, ...options: string[]) {
  const answer = await answerOf(
    `${ImageService}/CreateImage`,
    [{ image: { name, disk_format: 'DISK_FORMAT_RAW' }, upload: {} }],
    ...options,
  );
  return answer as { image: { id: string }; task: { id: string } };
}

function uploadFramesOf(taskId: string): Json[] {
  return [
    { header: { task_id: taskId } },
    { chunk: { offset: 0, data: Buffer.from('hello ').toString('base64') } },
    { hole: { offset: 6, length: 4096 } },
    { finish: { total_size: 4102 } },
  ];
}

describe('buf curl, which knows nothing but what reflection tells it', () => {
  test('lists the services and their methods', async () => {
    const list = (option: string): Promise<ProgramResult> =>
      runProgram(buf, ['curl', option, service.process.url]);
    const { output: services } = await list('--list-services');
    expect(services.split('\n').toSorted()).toEqual([
      ImageService,
      'darkroom.v1.QuotaService',
      TaskService,
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
    ]);
    const { output: methods } = await list('--list-methods');
    expect(methods.split('\n')).toEqual(
      expect.arrayContaining([`${ImageService}/UploadImage`, `${TaskService}/WatchTask`]),
    );
  });

  test('describes the contract with its documentation', async () => {
    const answer = await answerOf('grpc.reflection.v1.ServerReflection/ServerReflectionInfo', [
      { file_containing_symbol: ImageService },
    ]);
    const { fileDescriptorProto } = answer['fileDescriptorResponse'] as {
      fileDescriptorProto: string[];
    };
    const file = fromBinary(
      FileDescriptorProtoSchema,
      Buffer.from(fileDescriptorProto[0]!, 'base64'),
    );
    expect(file.name).toBe('darkroom/v1/image_service.proto');
    const comments = file.sourceCodeInfo?.location.map((location) => location.leadingComments);
    expect(comments?.join('')).toContain("Takes an image's bytes: one header, then chunks");
  });

  test.each([['grpc'], ['grpcweb'], ['connect']])(
    'creates, uploads by a stream, watches and is refused over %s',
    async (name) => {
      const protocol = ['--protocol', name];
      const { image, task } = await createImage(`over ${name}`, ...protocol);

      // Whether the task is done by the time that the watch begins or not: it tells the end and ends.
      const watch = startProgram(
        buf,
        curlArguments(`${TaskService}/WatchTask`, [{ task_id: task.id }], protocol),
      );
      const uploaded = await answerOf(
        `${ImageService}/UploadImage`,
        uploadFramesOf(task.id),
        ...protocol,
      );
      expect(uploaded).toMatchObject({
        complete: true,
        committedSize: '4102',
        image: { id: image.id, state: 'STATE_ACTIVE' },
      });
      expect(await watch.exited, watch.errors()).toBe(0);
      const last = documents(watch.lines.join('\n')).at(-1) as {
        update?: { task: Json };
        snapshot?: Json;
      };
      expect(last.update?.task ?? last.snapshot).toMatchObject({ state: 'STATE_SUCCEEDED' });

      const refused = await curl(`${ImageService}/GetImage`, [{ image_id: 'x' }], ...protocol);
      expect(refused.code).toBe(exitOf(3));
      const error = JSON.parse(refused.errors) as Refusal;
      expect(error.code).toBe('invalid_argument');
      const info = error.details.find(({ type }) => type === ErrorInfoSchema.typeName)!;
      expect(fromBinary(ErrorInfoSchema, Buffer.from(info.value, 'base64'))).toMatchObject({
        reason: 'FIELD_INVALID',
        domain: 'darkroom',
      });
    },
  );

  test('reads over HTTP/1.1 with the schema in the place of reflection', async () => {
    const { image } = await createImage('by schema');
    for (const protocol of ['connect', 'grpcweb']) {
      const answer = await answerOf(
        `${ImageService}/GetImage`,
        [{ image_id: image.id }],
        '--schema=.',
        '--reflect=false',
        `--protocol=${protocol}`,
      );
      expect(answer).toMatchObject({ image: { name: 'by schema', outlook: 'OUTLOOK_EXPECTED' } });
    }
  });
});
