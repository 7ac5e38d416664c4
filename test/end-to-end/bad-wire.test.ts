import { gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  GetImageRequestSchema,
  UploadChunkRequestSchema,
  UploadImageRequestSchema,
} from '../../gen/darkroom/v1/image_service_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { envelope, rawPost, statusOf } from '../support/raw-http.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { expectSound, peakMemory } from '../support/sound-service.ts';
import { createRequest } from './bad-input/case.ts';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
const images = '/darkroom.v1.ImageService';
const grpc = 'application/grpc+proto';

let service: RunningService;
let taskId: string;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({}, cleanUps.defer);
  taskId = (await service.images.createImage(createRequest())).task!.id;
  return cleanUps.run;
});

const getImage = toBinary(GetImageRequestSchema, create(GetImageRequestSchema, { imageId: 'x' }));
const invalidArgument = 3;
const resourceExhausted = 8;
const unimplemented = 12;

describe('five bytes that declare 1 GiB', () => {
  const bomb = envelope(Buffer.of(), { length: GiB });

  test.each([
    ['UploadImage', 'CHUNK_TOO_LARGE'],
    ['UploadChunk', 'CHUNK_TOO_LARGE'],
    ['CreateImage', 'MESSAGE_TOO_LARGE'],
    ['DownloadImage', 'MESSAGE_TOO_LARGE'],
  ])(
    'are refused by %s at once, while the client still holds the stream open',
    async (method, reason) => {
      const answer = await rawPost(service.process.url, `${images}/${method}`, grpc, bomb, {
        leaveOpen: true,
      });
      expect(statusOf(answer)).toMatchObject({ code: resourceExhausted, reason });
    },
  );

  test('take no memory, however many of them come', async () => {
    const before = await peakMemory(service.process.pid);
    const header = toBinary(
      UploadImageRequestSchema,
      create(UploadImageRequestSchema, { frame: { case: 'header', value: { taskId } } }),
    );
    const calls = Array.from({ length: 50 }, (_, i) =>
      i % 2 === 0
        ? rawPost(service.process.url, `${images}/UploadChunk`, grpc, bomb)
        : rawPost(
            service.process.url,
            `${images}/UploadImage`,
            grpc,
            Buffer.concat([envelope(header), bomb]),
          ),
    );
    for (const answer of await Promise.all(calls)) {
      expect([9, resourceExhausted]).toContain(statusOf(answer)?.code);
    }
    expect((await peakMemory(service.process.pid)) - before).toBeLessThan(128 * MiB);
  });

  test('and 1 GiB of zeros that gzip packs into 1 MiB take none either', async () => {
    const before = await peakMemory(service.process.pid);
    const message = toBinary(
      UploadChunkRequestSchema,
      create(UploadChunkRequestSchema, { taskId, data: new Uint8Array(256 * MiB) }),
    );
    const packed = envelope(gzipSync(message, { level: 1 }), { flags: 1 });
    const answer = await rawPost(service.process.url, `${images}/UploadChunk`, grpc, packed, {
      headers: { 'grpc-encoding': 'gzip' },
    });
    expect(statusOf(answer)).toMatchObject({ code: resourceExhausted, reason: 'CHUNK_TOO_LARGE' });
    expect((await peakMemory(service.process.pid)) - before).toBeLessThan(128 * MiB);
  });
});

describe('what is no message, no method or no protocol is answered in the terms of gRPC', () => {
  const garbage = Buffer.from('ffffffffffffffffffff', 'hex');

  test.each([
    [
      'protobuf that cannot be decoded',
      'GetImage',
      envelope(garbage),
      invalidArgument,
      'FIELD_INVALID',
    ],
    [
      'the same in an upload stream',
      'UploadImage',
      envelope(garbage),
      invalidArgument,
      'FRAME_ORDER|FIELD_INVALID',
    ],
    [
      'a text that is not UTF-8',
      'GetImage',
      envelope(Buffer.of(0x0a, 2, 0xc3, 0x28)),
      invalidArgument,
      'FIELD_INVALID',
    ],
    [
      'half a message',
      'GetImage',
      envelope(getImage, { length: 99 }),
      invalidArgument,
      'FIELD_INVALID',
    ],
    ['no message', 'GetImage', Buffer.of(), unimplemented, 'UNSUPPORTED'],
    [
      'two messages',
      'GetImage',
      Buffer.concat([envelope(getImage), envelope(getImage)]),
      unimplemented,
      'UNSUPPORTED',
    ],
    [
      'an unknown compression',
      'GetImage',
      envelope(getImage, { flags: 1 }),
      unimplemented,
      'UNSUPPORTED',
    ],
    ['an unknown method', 'NoSuchMethod', envelope(getImage), unimplemented, 'UNSUPPORTED'],
  ])('%s', async (_, method, body, code, reason) => {
    const headers = body[0] === 1 ? { 'grpc-encoding': 'snappy' } : {};
    const answer = await rawPost(service.process.url, `${images}/${method}`, grpc, body, {
      headers,
    });
    const status = statusOf(answer);
    expect(status?.code).toBe(code);
    expect(status?.reason).toMatch(new RegExp(`^(${reason})$`));
  });

  test('an unknown service', async () => {
    const answer = await rawPost(service.process.url, '/no.such.v1.Service/Method', grpc, getImage);
    expect(statusOf(answer)).toMatchObject({ code: unimplemented, reason: 'UNSUPPORTED' });
  });
});

describe('in the terms of Connect and HTTP', () => {
  async function post(path: string, contentType: string, body: string, method = 'POST') {
    const answer = await fetch(`${service.process.url}${path}`, {
      method,
      headers: { 'content-type': contentType },
      ...(method === 'POST' && { body }),
    });
    const text = await answer.text();
    return { status: answer.status, requestId: answer.headers.get('x-request-id'), text };
  }

  test.each([
    ['JSON that is none', `${images}/GetImage`, 'application/json', '{', 400, 'invalid_argument'],
    [
      'JSON of another type',
      `${images}/GetImage`,
      'application/json',
      '{"imageId": 5}',
      400,
      'invalid_argument',
    ],
    [
      'protobuf that cannot be decoded',
      `${images}/GetImage`,
      'application/proto',
      '\u{ffff}',
      400,
      'invalid_argument',
    ],
    ['an unknown method', `${images}/NoSuchMethod`, 'application/json', '{}', 404, 'unimplemented'],
    [
      'an unknown service',
      '/no.such.v1.Service/Method',
      'application/json',
      '{}',
      404,
      'unimplemented',
    ],
    ['an unknown place', '/no/such/place', 'application/json', '{}', 404, 'there is nothing at'],
    ['a content type that is none of ours', `${images}/GetImage`, 'text/plain', 'x', 415, ''],
  ])('%s', async (_, path, contentType, body, status, text) => {
    const answer = await post(path, contentType, body);
    expect(answer).toMatchObject({ status, text: expect.stringContaining(text) });
    expect(answer.requestId).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('a GET of what has side effects', async () => {
    expect(await post(`${images}/CreateImage`, 'application/json', '', 'GET')).toMatchObject({
      status: 405,
    });
  });
});

test('after all that the service does its work, and none of the calls was a defect of it', async () => {
  await expectSound(service);
});
