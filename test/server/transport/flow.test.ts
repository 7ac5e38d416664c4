import * as http2 from 'node:http2';
import { once } from 'node:events';
import * as grpc from '@grpc/grpc-js';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, it, onTestFinished } from 'vitest';
import {
  UploadImageRequestSchema,
  UploadImageResponseSchema,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import { bytesReceivedOf } from '../../../src/server/transport/request-context.ts';
import { startFakeServer, type FakeServer } from '../fake-server.ts';

const MiB = 1024 * 1024;

function call(server: FakeServer, method: string): http2.ClientHttp2Stream {
  const session = http2.connect(server.url);
  onTestFinished(() => session.destroy());
  return session.request({
    ':method': 'POST',
    ':path': `/darkroom.v1.ImageService/${method}`,
    'content-type': 'application/grpc',
    'grpc-accept-encoding': 'identity,deflate,gzip',
  });
}

it('takes an upload from grpc-js and answers it', async () => {
  const server = await startFakeServer({
    images: {
      async uploadImage(messages) {
        let committedSize = 0n;
        for await (const { frame } of messages) {
          committedSize += frame.case === 'chunk' ? BigInt(frame.value.data.byteLength) : 0n;
        }
        return { committedSize };
      },
    },
  });
  const client = new grpc.Client(server.url.slice(7), grpc.credentials.createInsecure());
  onTestFinished(() => client.close());
  const answered = Promise.withResolvers<Buffer | undefined>();
  const upload = client.makeClientStreamRequest(
    '/darkroom.v1.ImageService/UploadImage',
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => bytes,
    (error, answer) => (error ? answered.reject(error) : answered.resolve(answer)),
  );
  const message = create(UploadImageRequestSchema, {
    frame: { case: 'chunk', value: { data: new Uint8Array(256 * 1024) } },
  });
  const bytes = Buffer.from(toBinary(UploadImageRequestSchema, message));
  for (let count = 0; count < 128; count++) {
    if (!upload.write(bytes)) {
      await once(upload, 'drain');
    }
  }
  upload.end();
  const answer = fromBinary(UploadImageResponseSchema, (await answered.promise) ?? Buffer.alloc(0));
  expect(answer.committedSize).toBe(BigInt(32 * MiB));
});

it('holds a client back whose handler does not read', async () => {
  const go = Promise.withResolvers<void>();
  let size = 0;
  const server = await startFakeServer({
    images: {
      async uploadImage(messages) {
        await go.promise;
        for await (const { frame } of messages) {
          size += frame.case === 'chunk' ? frame.value.data.byteLength : 0;
        }
        return {};
      },
    },
  });
  const stream = call(server, 'UploadImage').resume();
  const chunk = toBinary(
    UploadImageRequestSchema,
    create(UploadImageRequestSchema, {
      frame: { case: 'chunk', value: { data: new Uint8Array(256 * 1024) } },
    }),
  );
  const head = Buffer.alloc(5);
  head.writeUInt32BE(chunk.byteLength, 1);
  const message = Buffer.concat([head, chunk]);
  for (let count = 0; count < 64; count++) {
    stream.write(message);
  }
  // The stream's window, and what Node keeps in front of the handler.
  await expect.poll(() => stream.session?.socket.bytesWritten).toBeGreaterThan(MiB / 4);
  expect(stream.session?.socket.bytesWritten).toBeLessThan(MiB);
  go.resolve();
  stream.end();
  await once(stream, 'close');
  expect(size).toBe(16 * MiB);
});

it('counts the bytes of a message that trickles in', async () => {
  let received = (): number => -1;
  const server = await startFakeServer({
    images: {
      async uploadImage(messages, context) {
        received = () => bytesReceivedOf(context);
        for await (const _ of messages) {
          // Only its bytes are counted.
        }
        return {};
      },
    },
  });
  const stream = call(server, 'UploadImage').resume();
  stream.write(Buffer.from([0, 0, 0, 1, 0]));
  await expect.poll(() => received()).toBe(5);
  stream.write(Buffer.alloc(100));
  await expect.poll(() => received()).toBe(105);
  stream.close(http2.constants.NGHTTP2_CANCEL);
});

it('does not compress a download, though its client takes gzip; but other answers', async () => {
  const server = await startFakeServer({
    images: {
      async *downloadImage() {
        yield { part: { case: 'chunk', value: { data: new Uint8Array(64 * 1024) } } };
      },
      listImages: () => ({ nextPageToken: 'x'.repeat(10_000) }),
    },
  });
  const lengths: number[] = [];
  for (const method of ['DownloadImage', 'ListImages']) {
    const stream = call(server, method);
    let length = 0;
    stream.on('data', (bytes: Buffer) => (length += bytes.length));
    stream.end(Buffer.alloc(5));
    await once(stream, 'end');
    lengths.push(length);
  }
  expect(lengths[0]).toBeGreaterThan(64 * 1024);
  expect(lengths[1]).toBeLessThan(1000);
});

it('holds a download back whose client does not read', async () => {
  let parts = 0;
  const server = await startFakeServer({
    images: {
      async *downloadImage() {
        for (; parts < 200; parts++) {
          yield { part: { case: 'chunk', value: { data: new Uint8Array(256 * 1024) } } };
        }
      },
    },
  });
  const stream = call(server, 'DownloadImage');
  let read = 0;
  stream.on('data', (bytes: Buffer) => {
    read += bytes.length;
    if (read > 2 * MiB && read - bytes.length <= 2 * MiB) {
      stream.pause();
    }
  });
  stream.end(Buffer.alloc(5));
  await once(stream, 'pause');
  // Another call is answered meanwhile, in which time the download would have run away.
  await call(server, 'ListImages').end(Buffer.alloc(5)).resume().toArray();
  expect(parts).toBeLessThan(16);
  stream.resume();
  await once(stream, 'end');
  expect(parts).toBe(200);
});
