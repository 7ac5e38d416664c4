import * as http2 from 'node:http2';
import * as net from 'node:net';
import { once } from 'node:events';
import { createClient, Code, ConnectError } from '@connectrpc/connect';
import { expect, it, onTestFinished } from 'vitest';
import { ImageService } from '../../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { ErrorInfoSchema, RetryInfoSchema } from '../../../gen/google/rpc/error_details_pb.ts';
import { serverDraining } from '../../../src/server/transport/drain.ts';
import { drainSignalOf } from '../../../src/server/transport/request-context.ts';
import {
  startFakeServer,
  transportOf,
  type FakeServer,
  type FakeServerOptions,
} from '../fake-server.ts';

const overGrpc = { protocol: 'grpc', httpVersion: '2' } as const;

async function* chunks(
  gate: Promise<void>,
): AsyncGenerator<{ frame: { case: 'hole'; value: object } }> {
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
  const called = Promise.withResolvers<void>();
  const server = await startFakeServer({
    images: {
      getImage() {
        called.resolve();
        return new Promise(() => {});
      },
    },
  });
  const client = createClient(ImageService, transportOf(server.url, overGrpc));
  const call = client.getImage({}).catch((error: unknown) => ConnectError.from(error));
  await called.promise;
  await server.close();
  expect(await call).toBeInstanceOf(ConnectError);
});

it.each([
  [
    'refuses new calls',
    '/darkroom.v1.ImageService/GetImage',
    /^HTTP\/1.1 503 .*SERVER_DRAINING.*RetryInfo/s,
  ],
  ['refuses plain HTTP', '/v2/tasks/a', /^HTTP\/1.1 503 .*retry-after: 1\r\n.*SERVER_DRAINING/s],
  [
    'answers that it is not serving',
    '/grpc.health.v1.Health/Check',
    /^HTTP\/1.1 200 .*"NOT_SERVING"/s,
  ],
  ['is not ready', '/readyz', /^HTTP\/1.1 503 .*"NOT_SERVING","reason":"SERVER_DRAINING"/s],
  ['lives', '/healthz', /^HTTP\/1.1 200 .*ok$/s],
])('%s on a connection that is still open', async (_, path, expected) => {
  const server = await startFakeServer({
    settings: { drainTimeoutMs: 60_000 },
    images: { getImage: () => ({}) },
    httpRoutes: [
      {
        method: 'POST',
        path: '/v2/tasks/:id',
        handle: ({ response }) => void response.end('handled'),
      },
    ],
  });
  const socket = net.connect(server.port);
  let answers = '';
  socket.on('data', (bytes) => (answers += bytes.toString('latin1')));
  const method = path.endsWith('z') ? 'GET' : 'POST';
  // The second request has begun before the drain, which closes connections that are idle.
  socket.write(`GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n${method} ${path} HTTP/1.1\r\n`);
  await expect.poll(() => answers).toMatch(/ok$/);
  answers = '';
  server.drain();
  socket.write('host: localhost\r\ncontent-type: application/json\r\n');
  socket.write(method === 'GET' ? '\r\n' : 'content-length: 2\r\n\r\n{}');
  await once(socket, 'close');
  expect(answers).toMatch(expected);
  expect(answers).toMatch(/\r\nconnection: close\r\n/i);
  await server.close();
});

it('tells clients of HTTP/2 to go elsewhere, and lets their streams go on', async () => {
  const { server, frames } = await startUploads({ drainTimeoutMs: 60_000 });
  const session = http2.connect(server.url);
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': '/darkroom.v1.ImageService/UploadImage',
    'content-type': 'application/grpc',
  });
  stream.write(Buffer.alloc(5));
  await expect.poll(frames).toBe(1);
  const goaway = once(session, 'goaway');
  const trailers = once(stream.resume(), 'trailers');
  server.drain();
  await goaway;
  stream.end(Buffer.alloc(5));
  const [{ 'grpc-status': status }] = (await trailers) as [http2.IncomingHttpHeaders];
  expect(status).toBe('0');
  expect(frames()).toBe(2);
  await server.close();
});
