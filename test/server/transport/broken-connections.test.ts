import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import { once } from 'node:events';
import { expect, it, onTestFinished } from 'vitest';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import {
  callHead,
  flags,
  frame,
  frameTypes,
  magic,
  reset,
} from '../../../bench/wire/http2-frames.ts';
import { startFakeServer, type FakeServer } from '../fake-server.ts';

/** A chunk's whole message: after it the stream stands between two envelopes. */
const wholeEnvelope = Buffer.from([0, 0, 0, 0, 2, 0x12, 0]);

interface Upload {
  readonly server: FakeServer;
  /** How many frames the handler has read. */
  frames(): number;
  /** How the handler's reading ended: 'half-closed', or what it threw. */
  readonly ended: Promise<unknown>;
}

async function startUpload(): Promise<Upload> {
  const ended = Promise.withResolvers<unknown>();
  let count = 0;
  const server = await startFakeServer({
    images: {
      async uploadImage(frames) {
        try {
          for await (const _ of frames) {
            count += 1;
          }
          ended.resolve('half-closed');
          return {};
        } catch (error) {
          ended.resolve(error);
          throw error;
        }
      },
    },
  });
  return { server, frames: () => count, ended: ended.promise };
}

function overHttp2(server: FakeServer): [http2.ClientHttp2Session, http2.ClientHttp2Stream] {
  const session = http2.connect(server.url).on('error', () => {});
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': '/darkroom.v1.ImageService/UploadImage',
    'content-type': 'application/grpc',
  });
  stream.on('error', () => {});
  return [session, stream];
}

const lost: unknown = expect.objectContaining({ reason: 'CONNECTION_LOST' });

it('takes the end of the request for its end', async () => {
  const upload = await startUpload();
  const [, stream] = overHttp2(upload.server);
  stream.end(wholeEnvelope);
  expect(await upload.ended).toBe('half-closed');
  expect(upload.frames()).toBe(1);
});

/** The frames of HTTP/2 that a client sends by hand, as clients do that are not Node's. */
const frames = {
  begin: Buffer.concat([
    magic,
    frame(frameTypes.settings, 0, 0),
    frame(
      frameTypes.headers,
      flags.endHeaders,
      1,
      callHead('/darkroom.v1.ImageService/UploadImage'),
    ),
    frame(frameTypes.data, 0, 1, wholeEnvelope),
  ]),
  end: frame(frameTypes.data, flags.endStream, 1),
  reset: (code: number) => reset(1, code),
};

it.each([
  ['NO_ERROR', 0],
  ['INTERNAL_ERROR', 2],
  ['CANCEL', 8],
])('does not take a reset with %s between two messages for the end', async (_, code) => {
  const upload = await startUpload();
  const socket = net.connect(upload.server.port).resume();
  onTestFinished(() => void socket.destroy());
  socket.write(frames.begin);
  await expect.poll(() => upload.frames()).toBe(1);
  socket.write(frames.reset(code));
  expect(await upload.ended).toBeInstanceOf(DarkroomError);
  expect(await upload.ended).toEqual(lost);
});

it('does not take the end of a stream that is reset with it for the end', async () => {
  const upload = await startUpload();
  const socket = net.connect(upload.server.port).resume();
  onTestFinished(() => void socket.destroy());
  socket.write(frames.begin);
  await expect.poll(() => upload.frames()).toBe(1);
  socket.write(Buffer.concat([frames.end, frames.reset(8)]));
  expect(await upload.ended).toEqual(lost);
});

it('does not take a connection of HTTP/2 that breaks for the end of the request', async () => {
  const upload = await startUpload();
  const [session, stream] = overHttp2(upload.server);
  stream.write(wholeEnvelope);
  await expect.poll(() => upload.frames()).toBe(1);
  session.socket.destroy();
  expect(await upload.ended).toEqual(lost);
  await expect
    .poll(() => upload.server.accessLine('darkroom.v1.ImageService/UploadImage'))
    .toMatchObject({ code: 'CANCELED' });
});

it('does not take a connection of HTTP/1.1 that breaks for the end of the request', async () => {
  const upload = await startUpload();
  const request = http.request(`${upload.server.url}/darkroom.v1.ImageService/UploadImage`, {
    method: 'POST',
    headers: { 'content-type': 'application/connect+proto' },
  });
  request.on('error', () => {});
  request.write(wholeEnvelope);
  await expect.poll(() => upload.frames()).toBe(1);
  request.destroy();
  expect(await upload.ended).toEqual(lost);
});

it('answers over HTTP/1.1 while the client still sends, and takes the next call after it', async () => {
  const server = await startFakeServer({
    images: {
      async uploadImage(messages) {
        for await (const _ of messages) {
          throw new DarkroomError('TASK_TERMINAL', 'the task is over');
        }
        return {};
      },
    },
  });
  const socket = net.connect(server.port);
  onTestFinished(() => void socket.destroy());
  let answers = '';
  socket.on('data', (bytes) => (answers += bytes.toString('latin1')));
  const size = 2 << 20;
  socket.write(
    'POST /darkroom.v1.ImageService/UploadImage HTTP/1.1\r\nhost: localhost\r\n' +
      `content-type: application/connect+proto\r\ncontent-length: ${wholeEnvelope.length + size}\r\n\r\n`,
  );
  socket.write(wholeEnvelope);
  await expect.poll(() => answers).toContain('the task is over');
  socket.write(Buffer.alloc(size));
  socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n');
  await expect.poll(() => answers).toMatch(/\r\n\r\nok$/);
});

it('tells a handler at once that its client is gone', async () => {
  const gone = Promise.withResolvers<unknown>();
  const server = await startFakeServer({
    tasks: {
      async *watchTask(_, context) {
        yield {};
        await new Promise((resolve) => context.signal.addEventListener('abort', resolve));
        gone.resolve(context.signal.reason);
        throw context.signal.reason;
      },
    },
  });
  const session = http2.connect(server.url);
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': '/darkroom.v1.TaskService/WatchTask',
    'content-type': 'application/grpc',
  });
  stream.end(Buffer.alloc(5));
  await once(stream, 'data');
  stream.close(http2.constants.NGHTTP2_CANCEL);
  expect(await gone.promise).toMatchObject({ rawMessage: 'the client ended the call' });
  await expect
    .poll(() => server.accessLine('darkroom.v1.TaskService/WatchTask'))
    .toMatchObject({ code: 'CANCELED', level: 20 });
});

it.each(['application/connect+proto', 'application/grpc-web+proto'])(
  'survives clients of HTTP/1.1 that go while it writes to them (%s)',
  async (contentType) => {
    let running = 0;
    const server = await startFakeServer({
      tasks: {
        async *watchTask(_, context) {
          running += 1;
          try {
            while (!context.signal.aborted) {
              yield { resumeToken: 'x'.repeat(10_000) };
            }
          } finally {
            running -= 1;
          }
        },
      },
    });
    for (let count = 0; count < 20; count++) {
      const request = http.request(`${server.url}/darkroom.v1.TaskService/WatchTask`, {
        method: 'POST',
        headers: { 'content-type': contentType },
      });
      request.on('error', () => {});
      request.end(Buffer.alloc(5));
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      response.on('error', () => {});
      await once(response, 'data');
      request.destroy();
    }
    await expect.poll(() => running).toBe(0);
    expect(server.log.filter(({ level }) => Number(level) >= 40)).toEqual([]);
  },
);
