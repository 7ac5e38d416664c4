import * as http2 from 'node:http2';
import * as net from 'node:net';
import { once } from 'node:events';
import { createClient, Code, ConnectError } from '@connectrpc/connect';
import { expect, it, onTestFinished } from 'vitest';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import { ErrorInfoSchema, RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { serverDraining } from '../../src/server/drain.ts';
import { drainSignalOf } from '../../src/server/request-context.ts';
import { startFakeServer, transportOf, type FakeServer, type FakeServerOptions } from './fake-server.ts';

const overGrpc = { protocol: 'grpc', httpVersion: '2' } as const;

async function* chunks(gate: Promise<void>): AsyncGenerator<{ frame: { case: 'hole'; value: object } }> {
  yield { frame: { case: 'hole', value: {} } };
  await gate;
  yield { frame: { case: 'hole', value: {} } };
}

/** A server whose uploads count their frames. */
async function startUploads(
  settings: NonNullable<FakeServerOptions['settings']> = {},
): Promise<{ server: FakeServer; frames: () => number; ended: Promise<unknown> }> {
  let frames = 0;
  const ended = Promise.withResolvers<unknown>();
  const server = await startFakeServer({
    settings,
    images: {
      getImage: () => ({}),
      async uploadImage(messages) {
        try {
          for await (const _ of messages) {
            frames += 1;
          }
          return { complete: true };
        } catch (error) {
          ended.resolve(error);
          throw error;
        }
      },
    },
  });
  return { server, frames: () => frames, ended: ended.promise };
}

it('lets a running upload end, and then closes', async () => {
  const { server, frames } = await startUploads({ drainTimeoutMs: 60_000 });
  const gate = Promise.withResolvers<void>();
  const client = createClient(ImageService, transportOf(server.url, overGrpc));
  const upload = client.uploadImage(chunks(gate.promise));
  await expect.poll(frames).toBe(1);
  const closed = server.close();
  expect(server.drainSignal.aborted).toBe(true);
  gate.resolve();
  expect(await upload).toMatchObject({ complete: true });
  await closed;
});

it('ends an upload that takes longer than it is given', async () => {
  const { server, frames, ended } = await startUploads({ drainTimeoutMs: 20 });
  const client = createClient(ImageService, transportOf(server.url, overGrpc));
  const upload = client
    .uploadImage(chunks(new Promise(() => {})))
    .catch((error: unknown) => ConnectError.from(error));
  await expect.poll(frames).toBe(1);
  let isTimeUp = false;
  await server.close(() => {
    isTimeUp = true;
  });
  expect(isTimeUp).toBe(true);
  expect(await ended).toMatchObject({ reason: 'SERVER_DRAINING' });
  const error = (await upload) as ConnectError;
  expect(error.code).toBe(Code.Unavailable);
  expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: 'SERVER_DRAINING' }]);
  expect(error.findDetails(RetryInfoSchema)).toMatchObject([{ retryDelay: { seconds: 1n } }]);
});

it('ends a watch at once', async () => {
  const server = await startFakeServer({
    tasks: {
      async *watchTask(_, context) {
        yield {};
        const drainSignal = drainSignalOf(context);
        await new Promise((resolve) => drainSignal.addEventListener('abort', resolve));
        throw serverDraining();
      },
    },
  });
  const client = createClient(TaskService, transportOf(server.url, overGrpc));
  const watch = client.watchTask({})[Symbol.asyncIterator]();
  await watch.next();
  server.drain();
  const error = await watch.next().catch((thrown: unknown) => ConnectError.from(thrown));
  expect(error).toMatchObject({ code: Code.Unavailable });
  await server.close();
});

it('cuts a call that does not end at all', async () => {
  const server = await startFakeServer({
    images: { getImage: () => new Promise(() => {}) },
  });
  const client = createClient(ImageService, transportOf(server.url, overGrpc));
  const call = client.getImage({}).catch((error: unknown) => ConnectError.from(error));
  await expect.poll(() => server.log.length).toBe(0);
  await server.close();
  expect(await call).toBeInstanceOf(ConnectError);
});

it('refuses new calls on a connection that is still open, but answers for its health', async () => {
  const { server, frames } = await startUploads({ drainTimeoutMs: 60_000 });
  const socket = net.connect(server.port);
  onTestFinished(() => void socket.destroy());
  let answers = '';
  socket.on('data', (bytes) => (answers += bytes.toString('latin1')));
  // A request that is under way keeps the connection of HTTP/1.1 open over the drain.
  socket.write(
    'POST /darkroom.v1.ImageService/UploadImage HTTP/1.1\r\nhost: a\r\n' +
      'content-type: application/connect+proto\r\ncontent-length: 10\r\n\r\n\0\0\0\0\0',
  );
  await expect.poll(frames).toBe(1);

  const session = http2.connect(server.url);
  onTestFinished(() => session.destroy());
  const held = session.request(
    { ':method': 'POST', ':path': '/darkroom.v1.ImageService/UploadImage', 'content-type': 'application/grpc' },
    { endStream: false },
  );
  held.write(Buffer.alloc(5));
  await expect.poll(frames).toBe(2);
  const goaway = once(session, 'goaway');
  server.drain();
  await goaway;
  held.end();
  socket.write('\0\0\0\0\0');
  await expect.poll(() => answers).toMatch(/Connection: close/i);
  await once(socket, 'close');
});

it('says in every way that it is not ready', async () => {
  const { server, frames } = await startUploads({ drainTimeoutMs: 60_000 });
  const gate = Promise.withResolvers<void>();
  const client = createClient(ImageService, transportOf(server.url, overGrpc));
  const upload = client.uploadImage(chunks(gate.promise));
  await expect.poll(frames).toBe(1);
  const keptAlive = net.connect(server.port);
  onTestFinished(() => void keptAlive.destroy());
  let answers = '';
  keptAlive.on('data', (bytes) => (answers += bytes.toString('latin1')));
  // Pipelined: the first part of a header is there before the drain, so that the connection is not idle.
  keptAlive.write('GET /readyz HTTP/1.1\r\nhost: a\r\n\r\nGET /readyz HTTP/1.1\r\n');
  await expect.poll(() => answers).toContain('"SERVING"');
  server.drain();
  keptAlive.write('host: a\r\n\r\n');
  await expect
    .poll(() => answers)
    .toContain('{"status":"NOT_SERVING","reason":"SERVER_DRAINING"}');
  gate.resolve();
  await upload;
  await server.close();
});
