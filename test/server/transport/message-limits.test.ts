import * as http2 from 'node:http2';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { decodeBinaryHeader } from '@connectrpc/connect';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { UploadChunkRequestSchema } from '../../../gen/darkroom/v1/image_service_pb.ts';
import { ErrorInfoSchema } from '../../../gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../../gen/google/rpc/status_pb.ts';
import { create } from '@bufbuild/protobuf';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { runProgram } from '../../support/programs.ts';
import { startFakeServer, type FakeServer } from '../fake-server.ts';

const oneGiB = Buffer.from([0, 0x40, 0, 0, 0]);
/** Larger than the limit of 256 KiB chunks in every protocol, and a few hundred bytes when deflated. */
const inflated = toBinary(
  UploadChunkRequestSchema,
  create(UploadChunkRequestSchema, { data: new Uint8Array(2 << 20) }),
);

let seenByHandler: unknown;

async function start(): Promise<FakeServer> {
  return startFakeServer({
    images: {
      async uploadImage(frames) {
        try {
          for await (const _ of frames) {
            // Not one is whole.
          }
        } catch (error) {
          seenByHandler = error;
          throw error;
        }
        return {};
      },
      uploadChunk: () => ({ complete: true }),
      getImage: () => ({}),
    },
  });
}

function envelope(flags: number, message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags, 0);
  head.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([head, message]);
}

/** Calls by gRPC over HTTP/2 without half-closing, and reads the code and the reason. */
async function grpc(
  session: http2.ClientHttp2Session,
  method: string,
  body: Buffer,
  headers: http2.OutgoingHttpHeaders = {},
): Promise<{ code: number; reason: string | undefined }> {
  const stream = session.request({
    ':method': 'POST',
    ':path': `/darkroom.v1.${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  stream.resume();
  stream.write(body);
  const trailers = await new Promise<http2.IncomingHttpHeaders>((resolve, reject) => {
    stream.on('trailers', resolve);
    stream.on('error', reject);
  });
  const status = decodeBinaryHeader(String(trailers['grpc-status-details-bin']), StatusSchema);
  const [info] = status.details;
  return {
    code: Number(trailers['grpc-status']),
    reason: info && fromBinary(ErrorInfoSchema, info.value).reason,
  };
}

function http2Client(server: FakeServer): http2.ClientHttp2Session {
  const session = http2.connect(server.url);
  onTestFinished(() => session.destroy());
  return session;
}

async function post(
  server: FakeServer,
  method: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string>,
): Promise<{ status: number; code: string; reason: string | undefined }> {
  const response = await fetch(`${server.url}/darkroom.v1.${method}`, {
    method: 'POST',
    body,
    headers,
  });
  const { code, details } = (await response.json()) as {
    code: string;
    details?: { debug: { reason: string } }[];
  };
  return { status: response.status, code, reason: details?.[0]?.debug.reason };
}

describe('a declared length of 1 GiB', () => {
  it('is refused from its first five bytes, in a stream as in a unary call', async () => {
    const session = http2Client(await start());
    expect(await grpc(session, 'ImageService/UploadImage', oneGiB)).toEqual({
      code: 8,
      reason: 'CHUNK_TOO_LARGE',
    });
    expect(seenByHandler).toBeInstanceOf(DarkroomError);
    expect(seenByHandler).toMatchObject({ reason: 'CHUNK_TOO_LARGE' });
    expect(await grpc(session, 'ImageService/UploadChunk', oneGiB)).toEqual({
      code: 8,
      reason: 'CHUNK_TOO_LARGE',
    });
    expect(await grpc(session, 'ImageService/GetImage', oneGiB)).toEqual({
      code: 8,
      reason: 'MESSAGE_TOO_LARGE',
    });
  });

  it('costs no memory', async () => {
    const program = join(import.meta.dirname, 'many-declared-lengths.ts');
    const { output, errors } = await runProgram(process.execPath, [program]);
    expect(errors).toBe('');
    const { refused, grownBytes } = JSON.parse(output) as Record<string, number>;
    expect(refused).toBe(200);
    expect(grownBytes).toBeLessThan(64 << 20);
  });

  it('is refused in the envelope of Connect and of gRPC-Web', async () => {
    const server = await start();
    for (const contentType of ['application/connect+proto', 'application/grpc-web+proto']) {
      const response = await fetch(`${server.url}/darkroom.v1.ImageService/UploadImage`, {
        method: 'POST',
        body: oneGiB,
        headers: { 'content-type': contentType },
      });
      const answer = Buffer.from(await response.arrayBuffer()).toString('latin1');
      expect(answer).toMatch(/resource_exhausted|grpc-status: 8/);
      expect(answer).toMatch(/CHUNK_TOO_LARGE|grpc-status-details-bin/);
    }
  });
});

describe('a message that inflates over the limit', () => {
  let deflated: Uint8Array<ArrayBuffer>;
  beforeAll(() => {
    deflated = new Uint8Array(zlib.gzipSync(inflated));
    expect(deflated.byteLength).toBeLessThan(10_000);
  });

  it('is refused over gRPC', async () => {
    const session = http2Client(await start());
    const gzip = { 'grpc-encoding': 'gzip' };
    for (const method of ['UploadImage', 'UploadChunk']) {
      expect(await grpc(session, `ImageService/${method}`, envelope(1, deflated), gzip)).toEqual({
        code: 8,
        reason: 'CHUNK_TOO_LARGE',
      });
    }
  });

  it('is refused over Connect', async () => {
    const server = await start();
    const headers = { 'content-type': 'application/proto', 'content-encoding': 'gzip' };
    expect(await post(server, 'ImageService/GetImage', deflated, headers)).toEqual({
      status: 429,
      code: 'resource_exhausted',
      reason: 'MESSAGE_TOO_LARGE',
    });
  });
});

describe('a body of a unary Connect call over the limit', () => {
  it('is refused by its content-length', async () => {
    const server = await start();
    const headers = { 'content-type': 'application/proto' };
    expect(await post(server, 'ImageService/UploadChunk', inflated, headers)).toEqual({
      status: 429,
      code: 'resource_exhausted',
      reason: 'CHUNK_TOO_LARGE',
    });
  });

  it('is refused as soon as it is too long, where the length is not told', async () => {
    const server = await start();
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(new Uint8Array(64 * 1024));
      },
    });
    const response = await fetch(`${server.url}/darkroom.v1.ImageService/UploadChunk`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/proto' },
      duplex: 'half',
    });
    expect(response.status).toBe(429);
    expect(await response.text()).toContain('CHUNK_TOO_LARGE');
  });

  it('takes a chunk of the largest size as base64 in JSON', async () => {
    const server = await start();
    const data = Buffer.alloc(256 * 1024, 7).toString('base64');
    const response = await fetch(`${server.url}/darkroom.v1.ImageService/UploadChunk`, {
      method: 'POST',
      body: JSON.stringify({ taskId: 'a', data }),
      headers: { 'content-type': 'application/json' },
    });
    expect(await response.json()).toEqual({ complete: true });
  });
});

describe('a message that cannot be decoded', () => {
  const broken = Buffer.from([0x0a, 0xff]);

  it('is FIELD_INVALID over gRPC', async () => {
    const session = http2Client(await start());
    for (const method of ['GetImage', 'UploadChunk', 'UploadImage']) {
      expect(await grpc(session, `ImageService/${method}`, envelope(0, broken))).toEqual({
        code: 3,
        reason: 'FIELD_INVALID',
      });
    }
    expect(seenByHandler).toMatchObject({ reason: 'FIELD_INVALID' });
  });

  it.each([
    ['protobuf', 'application/proto', broken],
    ['JSON with a wrong type', 'application/json', '{"imageId": 5}'],
    ['JSON that is none', 'application/json', '{"imageId'],
  ])('is FIELD_INVALID over Connect: %s', async (_, contentType, body) => {
    const server = await start();
    const headers = { 'content-type': contentType };
    expect(await post(server, 'ImageService/GetImage', body, headers)).toEqual({
      status: 400,
      code: 'invalid_argument',
      reason: 'FIELD_INVALID',
    });
  });

  it('is FIELD_INVALID in a GET', async () => {
    const server = await start();
    const response = await fetch(
      `${server.url}/darkroom.v1.ImageService/GetImage?connect=v1&encoding=json&message=%7B`,
    );
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('FIELD_INVALID');
  });
});
