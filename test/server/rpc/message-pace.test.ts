import * as http from 'node:http';
import * as http2 from 'node:http2';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { setTimeout as after } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { expect, it, onTestFinished } from 'vitest';
import { ServerReflection } from '../../../gen/grpc/reflection/v1/reflection_pb.ts';
import { envelope, statusOf } from '../../support/raw-http.ts';
import { startFakeServer, type FakeServer } from '../fake-server.ts';

/** Counts the calls that are done. */
async function start(streamIdleTimeoutMs: number, minUploadRate = 0) {
  let done = 0;
  const server = await startFakeServer({
    settings: { streamIdleTimeoutMs, minUploadRate },
    images: {
      deleteImage() {
        done += 1;
        return {};
      },
    },
    tasks: {
      async *watchTask(_, { signal }) {
        done += 1;
        yield {};
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    },
  });
  return { server, done: () => done };
}

function call(server: FakeServer, path: string): http2.ClientHttp2Stream {
  const session = http2.connect(server.url).on('error', () => {});
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': `/darkroom.v1.${path}`,
    'content-type': 'application/grpc+proto',
  });
  return stream.on('error', () => {});
}

/** The status that a call ends with. */
async function statusAtEnd(stream: http2.ClientHttp2Stream): Promise<ReturnType<typeof statusOf>> {
  const headers: Record<string, string> = {};
  const keep = (more: http2.IncomingHttpHeaders): void => {
    for (const [name, value] of Object.entries(more)) {
      headers[name] = String(value);
    }
  };
  stream.on('response', keep).on('trailers', keep).resume();
  await once(stream, 'close');
  return statusOf({ headers, body: Buffer.of(), resetCode: 0 });
}

const deadlineExceeded = 4;

it.each(['ImageService/DeleteImage', 'TaskService/WatchTask'])(
  'half a message is not waited for without end: %s over gRPC',
  async (path) => {
    const { server, done } = await start(200);
    const stream = call(server, path);
    stream.write(envelope(Buffer.alloc(1), { length: 10 }));
    expect(await statusAtEnd(stream)).toMatchObject({
      code: deadlineExceeded,
      reason: 'STREAM_IDLE',
      message: expect.stringContaining('nothing was done') as unknown,
    });
    expect(done()).toBe(0);
  },
);

it('nor half a body, over HTTP/1.1', async () => {
  const { server, done } = await start(200);
  const request = http.request(`${server.url}/darkroom.v1.ImageService/DeleteImage`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': 10 },
  });
  request.on('error', () => {});
  onTestFinished(() => void request.destroy());
  request.write('{');
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  expect(response.statusCode).toBe(504);
  expect(await text(response)).toContain('STREAM_IDLE');
  expect(done()).toBe(0);
});

it('nor one that comes in drops', async () => {
  const { server, done } = await start(200, 1024);
  const stream = call(server, 'ImageService/DeleteImage');
  stream.write(envelope(Buffer.alloc(1), { length: 10_000 }));
  const drops = setInterval(() => stream.writable && stream.write(Buffer.alloc(1)), 20);
  onTestFinished(() => clearInterval(drops));
  expect(await statusAtEnd(stream)).toMatchObject({
    code: deadlineExceeded,
    reason: 'STREAM_TOO_SLOW',
    message: expect.stringMatching(/came at \d+ bytes\/s/) as unknown,
  });
  expect(done()).toBe(0);
});

it('but a call that was sent whole may take its time, and so may a stream', async () => {
  const { server, done } = await start(50);
  const watch = call(server, 'TaskService/WatchTask');
  watch.end(Buffer.alloc(5));
  await once(watch, 'data');
  const questions = Promise.withResolvers<void>();
  const reflection = createClient(ServerReflection, createGrpcTransport({ baseUrl: server.url }));
  const asking = reflection.serverReflectionInfo(
    (async function* () {
      yield { messageRequest: { case: 'listServices' as const, value: '' } };
      await questions.promise;
      yield { messageRequest: { case: 'listServices' as const, value: '' } };
    })(),
  );
  const answers = asking[Symbol.asyncIterator]();
  await answers.next();
  // Many times what half a message would be waited for.
  await after(500);
  questions.resolve();
  expect((await answers.next()).value?.messageResponse.case).toBe('listServicesResponse');
  expect([watch.closed, done()]).toEqual([false, 1]);
});
