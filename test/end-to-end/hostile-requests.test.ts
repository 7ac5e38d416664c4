import { once } from 'node:events';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { create, toBinary, toJsonString } from '@bufbuild/protobuf';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  callHead,
  flags,
  frame,
  frameTypes,
  magic,
  openRaw,
  type RawConnection,
} from '../../bench/wire/http2-frames.ts';
import {
  CreateImageRequestSchema,
  GetImageRequestSchema,
  UploadImageRequestSchema,
} from '../../gen/darkroom/v1/image_service_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { patience } from '../support/held-upload.ts';
import { envelope, rawPost, statusOf } from '../support/raw-http.ts';
import { connectTo, startService, type RunningService } from '../support/running-service.ts';
import { expectSound, peakMemory } from '../support/sound-service.ts';
import { createRequest } from './bad-input/case.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const images = '/darkroom.v1.ImageService';
const grpc = 'application/grpc+proto';
const [invalidArgument, resourceExhausted] = [3, 8];

let service: RunningService;
let url: string;
let imageId: string;
let taskId: string;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({ DARKROOM_STREAM_IDLE_TIMEOUT_MS: '1000' }, cleanUps.defer);
  url = service.process.url;
  const made = await service.images.createImage(createRequest());
  imageId = made.image!.id;
  taskId = made.task!.id;
  return cleanUps.run;
});

/** Does what a hostile client does, while another client calls again and again and has to be answered each time. */
async function whileAnotherIsServed<T>(hostile: () => Promise<T>): Promise<T> {
  const other = connectTo(url).images;
  const over = new AbortController();
  const done = hostile().finally(() => over.abort());
  do {
    expect((await other.getImage({ imageId })).image?.id).toBe(imageId);
  } while (!over.signal.aborted);
  return await done;
}

/** A connection from another address than the other client's, which waits when one of its own has flooded. */
function hostileConnection(bytes: Uint8Array): RawConnection {
  const connection = openRaw(Number(new URL(url).port), bytes, '127.0.0.2');
  onTestFinished(() => void connection.socket.destroy());
  return connection;
}

async function post(path: string, body: string | Uint8Array<ArrayBuffer>, headers: object = {}) {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
  return { status: response.status, text: await response.text() };
}

describe('what is nested without end', () => {
  test('is refused in JSON', async () => {
    const answer = await whileAnotherIsServed(() =>
      post(`${images}/CreateImage`, `{"image":{"properties":${'{"a":'.repeat(150_000)}`),
    );
    expect(answer).toMatchObject({ status: 400, text: expect.stringContaining('FIELD_INVALID') });
    const whole = `{"image":${'['.repeat(400_000)}${']'.repeat(400_000)}}`;
    expect(await whileAnotherIsServed(() => post(`${images}/CreateImage`, whole))).toMatchObject({
      status: 400,
      text: expect.stringContaining('FIELD_INVALID'),
    });
  });

  test('is refused in protobuf', async () => {
    // Each byte begins a group of an unknown field.
    const groups = envelope(Buffer.alloc(900_000, 0x7b));
    const answer = await whileAnotherIsServed(() =>
      rawPost(url, `${images}/GetImage`, grpc, groups),
    );
    expect(statusOf(answer)).toMatchObject({ code: invalidArgument, reason: 'FIELD_INVALID' });
  });
});

describe('JSON of more values than any request needs is refused before it is read', () => {
  /** Each takes V8 70 to 150 ms at a stretch. */
  const bombs = {
    'brackets in brackets': `{"image":${'['.repeat(400_000)}${']'.repeat(400_000)}}`,
    'brackets that never end': `{"image":${'['.repeat(900_000)}`,
    'empty objects': `{"image":[${'{},'.repeat(300_000)}{}]}`,
    'names of nothing': `{${Array.from({ length: 80_000 }, (_, i) => `"n${i}":0`).join()}}`,
    tags: `{"image":{"tags":[${'"a",'.repeat(250_000)}"a"]}}`,
  };
  const what = 'is JSON with more than 8192 values';

  test.each(Object.entries(bombs))('%s', async (_, json) => {
    const answers = await whileAnotherIsServed(async () => [
      await post(`${images}/CreateImage`, json),
      await post('/v2/images', json),
      await post('/grpc.health.v1.Health/Check', json),
      await post(`${images}/CreateImage`, new Uint8Array(gzipSync(json)), {
        'content-encoding': 'gzip',
      }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([400, 400, 400, 400]);
    for (const { text } of answers) {
      expect(text).toContain(what);
    }
  });

  test.each([
    ['gRPC', `${images}/CreateImage`, 'application/grpc+json', 'grpc-encoding'],
    ['gRPC-Web', `${images}/CreateImage`, 'application/grpc-web+json', 'grpc-encoding'],
    ['a stream of gRPC', `${images}/UploadImage`, 'application/grpc+json', 'grpc-encoding'],
    [
      'a stream of Connect',
      `${images}/UploadImage`,
      'application/connect+json',
      'connect-content-encoding',
    ],
  ])('in envelopes, also when they are compressed: over %s', async (_, path, type, encoding) => {
    for (const [name, json] of Object.entries(bombs)) {
      const plain = envelope(Buffer.from(json));
      const packed = envelope(gzipSync(json), { flags: 1 });
      const answers = await whileAnotherIsServed(async () => [
        await rawPost(url, path, type, plain),
        await rawPost(url, path, type, packed, { headers: { [encoding]: 'gzip' } }),
      ]);
      for (const answer of answers) {
        // gRPC-Web and Connect tell it in the body.
        const told = statusOf(answer)?.code ?? String(answer.body);
        expect(String(told), name).toMatch(/^3$|grpc-status: 3\b|"code":"invalid_argument"/);
      }
    }
  });

  test('in the query of a GET, as base64 too', async () => {
    const json = `{"imageId":${'['.repeat(20_000)}`;
    const query = (message: string): string =>
      `${url}${images}/GetImage?connect=v1&encoding=json&message=${message}`;
    for (const asked of [
      query(encodeURIComponent(json)),
      `${query(Buffer.from(json).toString('base64url'))}&base64=1`,
    ]) {
      const response = await whileAnotherIsServed(() => fetch(asked));
      expect(response.status).toBe(400);
      expect(await response.text()).toContain(what);
    }
  });

  test('what is long and has few values is read, compressed and in pieces, too', async () => {
    const properties = Object.fromEntries(
      Array.from({ length: 128 }, (_, i) => [`p${i}`, `,:[{"\\${'x'.repeat(900)}`]),
    );
    const json = JSON.stringify({
      image: { name: 'long', diskFormat: 'DISK_FORMAT_RAW', properties },
      upload: {},
    });
    const answers = [
      await post(`${images}/CreateImage`, json),
      await post(`${images}/CreateImage`, new Uint8Array(gzipSync(json)), {
        'content-encoding': 'gzip',
      }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    const answer = await rawPost(
      url,
      `${images}/CreateImage`,
      'application/grpc+json',
      envelope(gzipSync(json), { flags: 1 }),
      {
        headers: { 'grpc-encoding': 'gzip' },
      },
    );
    expect(statusOf(answer)).toMatchObject({ code: 0 });
  });
});

describe('a message that is larger than it may be', () => {
  const large = create(CreateImageRequestSchema, { image: { name: 'a'.repeat(2 * MiB) } });

  test('is refused as it comes, over each protocol', async () => {
    const binary = toBinary(CreateImageRequestSchema, large);
    const answer = await whileAnotherIsServed(() =>
      rawPost(url, `${images}/CreateImage`, grpc, envelope(binary)),
    );
    expect(statusOf(answer)).toMatchObject({
      code: resourceExhausted,
      reason: 'MESSAGE_TOO_LARGE',
    });
    const json = toJsonString(CreateImageRequestSchema, large);
    expect(await whileAnotherIsServed(() => post(`${images}/CreateImage`, json))).toMatchObject({
      status: 429,
      text: expect.stringContaining('MESSAGE_TOO_LARGE'),
    });
  });

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
  ])('is refused after it is inflated, with no memory for it: %s', async (name, pack) => {
    const before = await peakMemory(service.process.pid);
    const bomb = toBinary(
      CreateImageRequestSchema,
      create(CreateImageRequestSchema, { image: { name: 'a'.repeat(128 * MiB) } }),
    );
    const packed = new Uint8Array(pack(bomb));
    expect(packed.byteLength).toBeLessThan(MiB);
    const answer = await whileAnotherIsServed(() =>
      rawPost(url, `${images}/CreateImage`, grpc, envelope(packed, { flags: 1 }), {
        headers: { 'grpc-encoding': name },
      }),
    );
    expect(statusOf(answer)).toMatchObject({
      code: resourceExhausted,
      reason: 'MESSAGE_TOO_LARGE',
    });
    const overConnect = await whileAnotherIsServed(() =>
      post(`${images}/CreateImage`, packed, {
        'content-type': 'application/proto',
        'content-encoding': name,
      }),
    );
    expect(overConnect).toMatchObject({
      status: 429,
      text: expect.stringContaining('MESSAGE_TOO_LARGE'),
    });
    expect((await peakMemory(service.process.pid)) - before).toBeLessThan(64 * MiB);
  });

  test('is refused in a GET, inflated or not', async () => {
    const bomb = gzipSync(
      toBinary(
        GetImageRequestSchema,
        create(GetImageRequestSchema, { imageId: 'a'.repeat(16 * MiB) }),
      ),
    ).toString('base64url');
    const get = (query: string) =>
      fetch(`${url}${images}/GetImage?connect=v1&encoding=proto&${query}`);
    const inflated = await whileAnotherIsServed(() =>
      get(`base64=1&compression=gzip&message=${bomb}`),
    );
    expect(inflated.status).toBe(429);
    expect(await inflated.text()).toContain('MESSAGE_TOO_LARGE');
    const plain = await whileAnotherIsServed(() => get(`message=${'a'.repeat(80 * KiB)}`));
    expect(plain.status).toBe(431);
  });
});

test('a stream of a hundred thousand chunks with nothing in them is refused at the first', async () => {
  const header = envelope(
    toBinary(
      UploadImageRequestSchema,
      create(UploadImageRequestSchema, { frame: { case: 'header', value: { taskId } } }),
    ),
  );
  const empty = envelope(
    toBinary(
      UploadImageRequestSchema,
      create(UploadImageRequestSchema, { frame: { case: 'chunk', value: {} } }),
    ),
  );
  const body = Buffer.concat([header, ...Array<Buffer>(100_000).fill(empty)]);
  const answer = await whileAnotherIsServed(() =>
    rawPost(url, `${images}/UploadImage`, grpc, body),
  );
  expect([answer.resetCode, statusOf(answer)?.reason]).toEqual([0, 'FIELD_INVALID']);
});

test('answers of a client whose window is 0 are ended after a while, with CANCEL', async () => {
  const message = envelope(
    toBinary(GetImageRequestSchema, create(GetImageRequestSchema, { imageId })),
  );
  const zeroWindow = frame(frameTypes.settings, 0, 0, Buffer.of(0, 4, 0, 0, 0, 0));
  const calls = Array.from({ length: 100 }, (_, i) =>
    Buffer.concat([
      frame(frameTypes.headers, flags.endHeaders, 1 + 2 * i, callHead(`${images}/GetImage`)),
      frame(frameTypes.data, flags.endStream, 1 + 2 * i, message),
    ]),
  );
  const client = hostileConnection(Buffer.concat([magic, zeroWindow, ...calls]));
  await whileAnotherIsServed(() => expect.poll(() => client.resets.length, patience).toBe(100));
  expect(new Set(client.resets.map(({ code }) => code))).toEqual(
    new Set([http2.constants.NGHTTP2_CANCEL]),
  );
});

test('a window that grows beyond all bounds ends the connection with FLOW_CONTROL_ERROR', async () => {
  const most = frame(frameTypes.windowUpdate, 0, 0, Buffer.of(0x7f, 0xff, 0xff, 0xff));
  const begin = Buffer.concat([magic, frame(frameTypes.settings, 0, 0)]);
  const client = hostileConnection(Buffer.concat([begin, most, most]));
  await whileAnotherIsServed(() => client.closed);
  expect(client.goaways.map(({ code }) => code)).toEqual([
    http2.constants.NGHTTP2_FLOW_CONTROL_ERROR,
  ]);
});

test('200,000 WINDOW_UPDATE, which cost their client more than the service, hold up nobody', async () => {
  const one = frame(frameTypes.windowUpdate, 0, 0, Buffer.of(0, 0, 0, 1));
  const begin = Buffer.concat([magic, frame(frameTypes.settings, 0, 0)]);
  const ping = frame(frameTypes.ping, 0, 0, Buffer.alloc(8));
  const client = hostileConnection(
    Buffer.concat([begin, ...Array<Buffer>(200_000).fill(one), ping]),
  );
  // All of them are read when the PING behind them is answered.
  await whileAnotherIsServed(() =>
    expect.poll(() => client.types, patience).toContain(frameTypes.ping),
  );
  expect(client.goaways).toEqual([]);
});

test('a body that does not go on is answered, over HTTP/1.1 and in pieces too', async () => {
  const socket = net.connect(Number(new URL(url).port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.write(
    `POST ${images}/GetImage HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n` +
      'transfer-encoding: chunked\r\n\r\n1\r\n{\r\n',
  );
  const [first] = (await whileAnotherIsServed(() => once(socket, 'data'))) as [Buffer];
  expect(String(first)).toMatch(/^HTTP\/1\.1 504 [\s\S]*STREAM_(IDLE|TOO_SLOW)/);
});

test('after all that the service does its work, and none of the calls was a defect of it', async () => {
  await expectSound(service);
});
