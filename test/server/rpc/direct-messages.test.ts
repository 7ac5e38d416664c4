import * as http2 from 'node:http2';
import { gzipSync } from 'node:zlib';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { decodeBinaryHeader } from '@connectrpc/connect';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  UploadImageRequestSchema,
  type UploadImageRequest,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import { ErrorInfoSchema } from '../../../gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../../gen/google/rpc/status_pb.ts';
import { startFakeServer } from '../fake-server.ts';

/** The roads that a message can take, by what has connect take the one or the other; bodies are the same on both. */
const roads = [
  { protocol: 'grpc', road: 'direct', headers: {} },
  { protocol: 'grpc', road: 'direct', headers: { 'grpc-encoding': 'identity' } },
  { protocol: 'grpc', road: 'connect’s', headers: { 'grpc-encoding': 'gzip' } },
  { protocol: 'connect', road: 'direct', headers: {} },
  { protocol: 'connect', road: 'connect’s', headers: { 'connect-content-encoding': 'gzip' } },
] as const;

type Road = (typeof roads)[number];

/** What a call was answered with, and the messages that its handler saw. */
interface Answer {
  readonly code: string;
  readonly message: string;
  readonly reason: string | undefined;
  readonly seen: readonly UploadImageRequest[];
}

/** Of its own: the memory in which a message came is used for others later. */
function ownMessage(bytes: Uint8Array): UploadImageRequest {
  return fromBinary(UploadImageRequestSchema, bytes);
}

async function startReading(): Promise<{
  call: (road: Road, body: Uint8Array, headers?: Record<string, string>) => Promise<Answer>;
}> {
  let seen: UploadImageRequest[] = [];
  const server = await startFakeServer({
    images: {
      async uploadImage(frames) {
        for await (const frame of frames) {
          seen.push(ownMessage(toBinary(UploadImageRequestSchema, frame)));
        }
        return { complete: true };
      },
    },
  });
  const session = http2.connect(server.url);
  onTestFinished(() => session.destroy());
  return {
    async call(road, body, headers = {}) {
      seen = [];
      const stream = session.request({
        ':method': 'POST',
        ':path': '/darkroom.v1.ImageService/UploadImage',
        'content-type': road.protocol === 'grpc' ? 'application/grpc' : 'application/connect+proto',
        te: 'trailers',
        [road.protocol === 'grpc' ? 'grpc-accept-encoding' : 'connect-accept-encoding']: 'identity',
        ...road.headers,
        ...headers,
      });
      stream.end(body);
      const parts: Buffer[] = [];
      let trailers: http2.IncomingHttpHeaders = {};
      stream.on('data', (part: Buffer) => parts.push(part));
      stream.on('trailers', (given) => (trailers = given));
      await new Promise((resolve, reject) => stream.once('close', resolve).once('error', reject));
      const answer =
        road.protocol === 'grpc' ? grpcAnswer(trailers) : connectAnswer(Buffer.concat(parts));
      return { ...answer, seen };
    },
  };
}

function grpcAnswer(trailers: http2.IncomingHttpHeaders): Omit<Answer, 'seen'> {
  const details = trailers['grpc-status-details-bin'];
  const status =
    details === undefined ? undefined : decodeBinaryHeader(String(details), StatusSchema);
  const info = status?.details[0];
  return {
    code: String(trailers['grpc-status']),
    message: decodeURIComponent(String(trailers['grpc-message'] ?? '')),
    reason: info && fromBinary(ErrorInfoSchema, info.value).reason,
  };
}

/** The last envelope is JSON. */
function connectAnswer(body: Buffer): Omit<Answer, 'seen'> {
  let last = body;
  while (last.byteLength > 5 + last.readUInt32BE(1)) {
    last = last.subarray(5 + last.readUInt32BE(1));
  }
  const { error } = JSON.parse(last.subarray(5).toString()) as {
    error?: { code: string; message?: string; details?: { debug?: { reason?: string } }[] };
  };
  return {
    code: error?.code ?? '0',
    message: error?.message ?? '',
    reason: error?.details?.[0]?.debug?.reason,
  };
}

function envelope(message: Uint8Array, flags = 0, length = message.byteLength): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

function encoded(frame: UploadImageRequest['frame']): Uint8Array {
  return toBinary(UploadImageRequestSchema, create(UploadImageRequestSchema, { frame }));
}

function chunk(offset: bigint, data: Uint8Array): Uint8Array {
  return encoded({
    case: 'chunk',
    value: { $typeName: 'darkroom.v1.UploadImageRequest.Chunk', offset, data },
  });
}

/** A field of bytes. */
function field(number: number, value: Uint8Array): Buffer {
  expect(value.byteLength).toBeLessThan(128);
  return Buffer.concat([Buffer.from([(number << 3) | 2, value.byteLength]), value]);
}

const large = chunk(7n, new Uint8Array(200_000).fill(9));

describe.each([
  ['nothing', Buffer.alloc(0)],
  ['an empty message', envelope(Buffer.alloc(0))],
  [
    'chunks, small and large',
    Buffer.concat([chunk(0n, Buffer.from('ab')), large, large].map((m) => envelope(m))),
  ],
  ['a message that cannot be decoded', envelope(Buffer.from([0x0a, 0xff]))],
  [
    'a large one that cannot be decoded at its end',
    envelope(Buffer.concat([large, Buffer.from([0x0a])])),
  ],
  ['a field of the wrong wire type', envelope(Buffer.from([0x08, 1]))],
  [
    'unknown fields',
    envelope(
      Buffer.concat([
        Buffer.from([0x78, 1]),
        chunk(1n, Buffer.from('x')),
        field(14, Buffer.from('y')),
      ]),
    ),
  ],
  [
    'a chunk whose parts come apart and twice',
    envelope(
      Buffer.concat([chunk(5n, Buffer.from('first')), field(2, field(2, Buffer.from('last')))]),
    ),
  ],
  [
    'two kinds of a frame in one',
    envelope(
      Buffer.concat([chunk(5n, Buffer.from('first')), field(1, field(1, Buffer.from('task')))]),
    ),
  ],
  ['text that is no UTF-8', envelope(field(1, field(1, Buffer.from([0xff, 0xfe]))))],
  ['half a message', envelope(Buffer.from('ab'), 0, 3)],
  ['half a head', Buffer.concat([envelope(large), Buffer.from([0, 0])])],
  ['a message that is larger than allowed', envelope(Buffer.from('ab'), 0, 1 << 30)],
  ['flags that nobody knows', envelope(chunk(0n, Buffer.from('a')), 0b100)],
])('%s', (_, body) => {
  test('is answered the same on every road', async () => {
    const { call } = await startReading();
    for (const protocol of ['grpc', 'connect'] as const) {
      const answers = [];
      for (const road of roads.filter((one) => one.protocol === protocol)) {
        answers.push(await call(road, body));
      }
      for (const answer of answers) {
        expect(answer).toEqual(answers.at(-1));
      }
    }
  });
});

describe('the flag of an envelope', () => {
  test('that says that it is the last is skipped in Connect, and nothing to gRPC', async () => {
    const { call } = await startReading();
    const body = Buffer.concat([
      envelope(chunk(0n, Buffer.from('a'))),
      envelope(Buffer.from('{}'), 2),
    ]);
    for (const road of roads) {
      const answer = await call(road, body);
      expect(answer).toMatchObject(
        road.protocol === 'connect'
          ? { code: '0', seen: { length: 1 } }
          : { code: '3', reason: 'FIELD_INVALID' },
      );
    }
  });

  test('that says that it is compressed is an error where no compression was named, and heeded where it was', async () => {
    const { call } = await startReading();
    const body = envelope(gzipSync(large), 1);
    for (const road of roads) {
      const answer = await call(road, body);
      expect(answer).toMatchObject(
        road.road === 'direct'
          ? {
              code: road.protocol === 'connect' ? 'invalid_argument' : '3',
              reason: 'FIELD_INVALID',
            }
          : { code: '0', seen: [{ frame: { value: { offset: 7n } } }] },
      );
    }
  });
});

test.each([
  ['grpc-timeout', '5x'],
  ['grpc-timeout', '-5S'],
  ['connect-timeout-ms', '-5'],
])('a deadline that is none is an error: %s: %s', async (name, value) => {
  const { call } = await startReading();
  for (const road of roads.filter(({ protocol }) => name.startsWith(protocol))) {
    expect(await call(road, envelope(large), { [name]: value })).toMatchObject({
      code: road.protocol === 'connect' ? 'invalid_argument' : '3',
      reason: 'FIELD_INVALID',
      seen: [],
    });
  }
});

test('any chunk, however it is encoded, is what protobuf says it is', async () => {
  const { call } = await startReading();
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((data) => chunk(0n, data)),
    fc.bigInt({ min: 0n, max: 1n << 50n }).map((offset) => chunk(offset, new Uint8Array(0))),
    fc.string({ maxLength: 20 }).map((text) => field(1, field(1, Buffer.from(text)))),
    fc.nat(127).map((value) => Buffer.from([0x78, value])),
    fc.constant(large),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.array(piece, { maxLength: 4 }).map((parts) => Buffer.concat(parts)),
        { maxLength: 5 },
      ),
      async (messages) => {
        const whole = messages.filter((message) => message.byteLength < 300_000);
        const { seen } = await call(
          roads[0],
          Buffer.concat(whole.map((message) => envelope(message))),
        );
        expect(seen).toEqual(whole.map((message) => ownMessage(new Uint8Array(message))));
      },
    ),
    { numRuns: 30 },
  );
});
