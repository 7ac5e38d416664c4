import {
  fromJson,
  ScalarType,
  type DescField,
  type DescMessage,
  type DescMethod,
  type JsonObject,
  type JsonValue,
  type Message,
} from '@bufbuild/protobuf';
import { Code, ConnectError, createClient, type Transport } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { beforeAll, describe, expect, test } from 'vitest';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { QuotaService } from '../../gen/darkroom/v1/quota_service_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { databaseWords, expectSound } from '../support/sound-service.ts';
import { prepare, type Standing } from './bad-input/case.ts';
import { soundRequest } from './bad-input/sound-request.ts';

let service: RunningService;
let standing: Standing;
let transport: Transport;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({}, cleanUps.defer);
  standing = await prepare(service);
  transport = createGrpcTransport({ baseUrl: service.process.url });
  return cleanUps.run;
});

const methods = [...ImageService.methods, ...TaskService.methods, ...QuotaService.methods].filter(
  ({ methodKind }) => methodKind === 'unary' || methodKind === 'server_streaming',
);

/** A value that no caller should send, and where. */
interface Oddity {
  readonly path: readonly string[];
  readonly value: JsonValue;
  readonly hasNul: boolean;
}

function* oddities(message: DescMessage, path: readonly string[] = []): Generator<Oddity> {
  for (const field of message.fields) {
    const own = [...path, field.jsonName];
    for (const value of oddValues(field)) {
      yield { path: own, value, hasNul: JSON.stringify(value).includes('\\u0000') };
    }
    const inner = field.fieldKind === 'message' ? field.message : undefined;
    // Times and masks have a JSON form of their own, in which little can go wrong.
    if (inner && !inner.typeName.startsWith('google.') && !path.includes(field.jsonName)) {
      yield* oddities(inner, own);
    }
  }
}

function oddValues(field: DescField): JsonValue[] {
  switch (field.fieldKind) {
    case 'scalar':
      return oddScalars(field.scalar);
    case 'enum':
      return [-1, 99, 2 ** 31 - 1];
    case 'list':
      return field.listKind === 'scalar'
        ? oddScalars(field.scalar).map((value) => [value])
        : field.listKind === 'enum'
          ? [[0], [99], [-1]]
          : [];
    case 'map':
      return [
        { 'a\0b': 'v' },
        { k: 'a\0b' },
        { k: '\u{10ffff}'.repeat(2000) },
        JSON.parse('{"__proto__":"x"}'),
      ];
    case 'message':
      return [];
  }
}

function oddScalars(scalar: ScalarType): JsonValue[] {
  switch (scalar) {
    case ScalarType.STRING:
      return ['a\0b', '\u{10ffff}'.repeat(20_000), "';--", '%_\\'];
    case ScalarType.INT32:
      return [-1, -(2 ** 31), 2 ** 31 - 1];
    case ScalarType.INT64:
      return ['-1', '-9223372036854775808', '9223372036854775807', '9007199254740993'];
    default:
      return [];
  }
}

function withOddity(
  request: JsonObject,
  [key, ...rest]: readonly string[],
  value: JsonValue,
): JsonObject {
  const inner = request[key!];
  const base = typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? inner : {};
  const { [sourceBeside(key!)]: _, ...others } = request;
  return { ...others, [key!]: rest.length === 0 ? value : withOddity(base, rest, value) };
}

/** The sources of CreateImage exclude each other. */
function sourceBeside(key: string): string {
  return key === 'snapshot' || key === 'copyFrom' ? 'upload' : '';
}

const answers: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  // In the name of another project.
  Code.PermissionDenied,
  Code.AlreadyExists,
  Code.FailedPrecondition,
  Code.Aborted,
  Code.OutOfRange,
  Code.ResourceExhausted,
  Code.Unimplemented,
]);

/** "The fields that the service sets are ignored": there a NUL does no harm. */
function isIgnored(method: DescMethod, [first, second]: readonly string[]): boolean {
  const setByService = [
    'id',
    'projectId',
    'sha256',
    'packedFormat',
    'packedSha256',
    'latestTask',
    'lastFault',
    'etag',
  ];
  return (
    first === 'image' &&
    (method.name === 'CreateImage' || (method.name === 'UpdateImage' && second !== 'id')) &&
    setByService.includes(second!)
  );
}

type AnyClient = Record<string, (request: Message) => Promise<unknown> | AsyncIterable<unknown>>;

/** Calls a method; of a stream, the first message is waited for. Answers its error. */
async function call(method: DescMethod, request: JsonObject): Promise<ConnectError | undefined> {
  const client = createClient(method.parent, transport) as unknown as AnyClient;
  try {
    const answer = client[method.localName]!(fromJson(method.input, request));
    if (Symbol.asyncIterator in answer) {
      for await (const _ of answer) {
        break;
      }
    }
    await answer;
    return undefined;
  } catch (error) {
    return ConnectError.from(error);
  }
}

describe('whatever stands in any field is answered within the contract', () => {
  test.each(methods.map((method) => [method.name, method] as const))('by %s', async (_, method) => {
    for (const { path, value, hasNul } of oddities(method.input)) {
      const request = withOddity(soundRequest(method, standing.queued), path, value);
      const error = await call(method, request);
      const what = `${path.join('.')} = ${JSON.stringify(value).slice(0, 60)}: ${error?.message}`;
      if (error) {
        expect(answers, what).toContain(error.code);
        expect(error.findDetails(ErrorInfoSchema), what).toHaveLength(1);
        expect(error.message).not.toMatch(databaseWords);
      } else {
        expect(hasNul && !isIgnored(method, path), what).toBe(false);
      }
    }
  });

  test('and the service does its work, and none of the calls was a defect of it', async () => {
    await expectSound(service);
  });
});
