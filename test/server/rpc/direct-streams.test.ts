import { once } from 'node:events';
import * as http2 from 'node:http2';
import { create, toBinary } from '@bufbuild/protobuf';
import type { HandlerContext } from '@connectrpc/connect';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  WatchTaskRequestSchema,
  WatchTaskResponseSchema,
} from '../../../gen/darkroom/v1/task_service_pb.ts';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { DirectCallContext } from '../../../src/server/rpc/direct-call-context.ts';
import { envelopeOf } from '../../../src/server/rpc/envelope.ts';
import { answersItself } from '../../../src/server/rpc/watch-answer.ts';
import type { Watch } from '../../../src/tasks/watching/watch.ts';
import { startFakeServer, type FakeServer } from '../fake-server.ts';

/** Written so that the stream begins directly, and so that connect begins it. */
const contentTypes = { direct: 'application/grpc', left: 'Application/grpc' } as const;
const method = 'darkroom.v1.TaskService/WatchTask';

interface Answer {
  readonly headers: http2.IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: http2.IncomingHttpHeaders;
}

/** A watch that tells its messages, and then ends or throws. */
function watchOf(tokens: readonly string[], error?: Error): Watch<string> {
  const left = [...tokens];
  return {
    hasEnded: false,
    take() {
      const token = left.shift();
      if (token === undefined) {
        if (error !== undefined) {
          throw error;
        }
        Object.assign(this, { hasEnded: true });
      }
      return token;
    },
    close: () => {},
  };
}

async function startWatched(
  begin: (context: HandlerContext) => Promise<Watch<string>>,
): Promise<FakeServer> {
  return startFakeServer({
    tasks: {
      async *watchTask(_, context) {
        const isAnswered = await answersItself<string>(
          context,
          (resumeToken, __, compression) => {
            const message = create(WatchTaskResponseSchema, { resumeToken });
            return envelopeOf([toBinary(WatchTaskResponseSchema, message)], compression);
          },
          () => begin(context),
        );
        if (!isAnswered) {
          yield { resumeToken: 'told by connect' };
        }
      },
    },
  });
}

const request = envelopeOf(
  [toBinary(WatchTaskRequestSchema, create(WatchTaskRequestSchema, { taskId: 'a' }))],
  null,
) as Uint8Array;

function open(url: string, contentType: string, headers: Readonly<Record<string, string>> = {}) {
  const session = http2.connect(url);
  onTestFinished(() => session.destroy());
  return session.request({
    ':method': 'POST',
    ':path': `/${method}`,
    'content-type': contentType,
    'x-request-id': 'one',
    ...headers,
  });
}

async function answer(
  stream: http2.ClientHttp2Stream,
  parts: readonly Uint8Array[],
): Promise<Answer> {
  let headers: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders = {};
  stream.on('response', (given) => (headers = Object.assign(given, { date: undefined })));
  stream.on('trailers', (given) => (trailers = { ...given }));
  parts.forEach((part) => stream.write(part));
  stream.end();
  const body = Buffer.concat(await stream.toArray()).toString('latin1');
  return { headers, body, trailers };
}

const drained = new DarkroomError('SERVER_DRAINING', 'call again', { retryDelayMs: 500 });

const watches: readonly (readonly [string, () => Promise<Watch<string>>])[] = [
  ['ends', () => Promise.resolve(watchOf(['a', 'x'.repeat(5000), 'b']))],
  ['ends at once', () => Promise.resolve(watchOf([]))],
  ['ends with an error', () => Promise.resolve(watchOf(['a'], drained))],
  ['does not begin', () => Promise.reject(new DarkroomError('TASK_NOT_FOUND', 'no such task'))],
  ['has a defect', () => Promise.reject(new TypeError('secret'))],
];

const calls: readonly (readonly [string, Record<string, string>, readonly Uint8Array[]])[] = [
  ['as most do', {}, [request]],
  ['in pieces', {}, [request.subarray(0, 3), request.subarray(3)]],
  ['with gzip', { 'grpc-accept-encoding': 'gzip' }, [request]],
  ['with a timeout', { 'grpc-timeout': '10S' }, [request]],
  ['with one longer than any timer', { 'grpc-timeout': '99999999H' }, [request]],
  ['with a timeout that is none', { 'grpc-timeout': 'soon' }, [request]],
  ['without a message', {}, []],
  ['with two messages', {}, [request, request]],
  ['with nonsense', {}, [Buffer.from('\0\0\0\0\x01\xff', 'latin1')]],
];

describe.each(watches)('a watch that %s', (_, begin) => {
  test.each(calls)(
    'and is called %s is answered as connect answers it',
    async (__, headers, parts) => {
      const server = await startWatched(begin);
      const [direct, left] = await Promise.all(
        [contentTypes.direct, contentTypes.left].map((type) =>
          answer(open(server.url, type, headers), parts),
        ),
      );
      expect(direct).toEqual(left);
      await expect
        .poll(() => server.log.filter((line) => line['method'] === method))
        .toHaveLength(2);
      const [one, other] = server.log.filter((line) => line['method'] === method);
      expect(one?.['code']).toBe(other?.['code']);
    },
  );
});

test('a watch of gRPC is begun past connect, and each handler is called once', async () => {
  const isDirect: boolean[] = [];
  const server = await startWatched((context) => {
    isDirect.push(context instanceof DirectCallContext);
    return Promise.reject(drained);
  });
  await answer(open(server.url, contentTypes.direct), [request]);
  await answer(open(server.url, contentTypes.left), [request]);
  expect(isDirect).toEqual([true, false]);
});

test.each(Object.entries(contentTypes))(
  'a watch whose client goes while it begins is not followed (%s)',
  async (_, contentType) => {
    const begun = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    let closed = 0;
    const server = await startWatched(async () => {
      begun.resolve();
      await goOn.promise;
      return { ...watchOf(['a']), close: () => void (closed += 1) };
    });
    const stream = open(server.url, contentType);
    stream.on('error', () => {});
    stream.end(request);
    await begun.promise;
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await expect.poll(() => server.accessLine(method)).toMatchObject({ code: 'CANCELED' });
    goOn.resolve();
    await expect.poll(() => closed).toBe(1);
  },
);

test('the deadline of a watch that was begun directly ends it', async () => {
  const watch: Watch<string> = { hasEnded: false, take: () => undefined, close: () => {} };
  const server = await startWatched(() => Promise.resolve(watch));
  const stream = open(server.url, contentTypes.direct, { 'grpc-timeout': '50m' });
  stream.resume().end(request);
  const [trailers] = (await once(stream, 'trailers')) as [http2.IncomingHttpHeaders];
  expect(trailers).toMatchObject({ 'grpc-status': '4' });
});
