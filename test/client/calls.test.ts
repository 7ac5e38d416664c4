import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { create } from '@bufbuild/protobuf';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Code } from '../../gen/google/rpc/code_pb.ts';
import {
  CreateImageResponseSchema,
  GetImageResponseSchema,
  type CreateImageRequest,
} from '../../gen/darkroom/v1/image_service_pb.ts';
import { ReportFaultResponseSchema } from '../../gen/darkroom/v1/task_service_pb.ts';
import { DarkroomError } from '../../src/client/calls/client-error.ts';
import { DarkroomError as ServiceError } from '../../src/domain/darkroom-error.ts';
import { startFakeServer } from '../server/fake-server.ts';
import { runProgram } from '../support/programs.ts';
import { hasty, roads } from './clients.ts';

/** The error that a promise is rejected with. */
async function failure(promise: Promise<unknown>): Promise<DarkroomError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(DarkroomError);
  return error as DarkroomError;
}

describe.each(Object.entries(roads))('a call by %s', (_, client) => {
  test('is answered, and carries token and project', async () => {
    const seen: (string | null)[] = [];
    const { url } = await startFakeServer({
      images: {
        getImage: ({ imageId }, { requestHeader }) => {
          seen.push(requestHeader.get('authorization'), requestHeader.get('x-darkroom-project'));
          return create(GetImageResponseSchema, { image: { id: imageId, sizeBytes: 2n ** 40n } });
        },
      },
    });
    const { images } = client(url, { credential: 'secret', project: 'default' });
    const { image } = await images.getImage({ imageId: 'a' });
    expect(image).toMatchObject({ id: 'a', sizeBytes: 2n ** 40n });
    expect(seen).toEqual(['Bearer secret', 'default']);
  });

  test('that is refused fails with the service’s reason, and all that it says', async () => {
    const { url } = await startFakeServer({
      images: {
        getImage: () => {
          throw new ServiceError('FIELD_INVALID', 'image.name is not allowed, nor “ü”', {
            metadata: { limit: '3' },
            fieldViolations: [{ field: 'image.name', description: 'is not allowed' }],
            retryDelayMs: 1500,
          });
        },
      },
    });
    const error = await failure(client(url).images.getImage({ imageId: 'a' }));
    expect(error).toMatchObject({
      reason: 'FIELD_INVALID',
      origin: 'service',
      code: Code.INVALID_ARGUMENT,
      message: 'image.name is not allowed, nor “ü”',
      metadata: { limit: '3' },
      fieldViolations: [{ field: 'image.name', description: 'is not allowed' }],
      retryAfterMs: 1500,
      isTransient: false,
    });
  });

  test('is made again while the service says that it will pass', async () => {
    let calls = 0;
    const { url } = await startFakeServer({
      images: {
        getImage: () => {
          calls += 1;
          if (calls < 4) {
            throw new ServiceError('DATABASE_UNAVAILABLE', 'away', { retryDelayMs: 1 });
          }
          return create(GetImageResponseSchema, { image: { id: 'a' } });
        },
      },
    });
    await client(url, { retry: hasty }).images.getImage({ imageId: 'a' });
    expect(calls).toBe(4);
  });

  test('of which nobody knows whether it was done is not made again where that does harm', async () => {
    let calls = 0;
    const { url } = await startFakeServer({
      tasks: {
        reportFault: () => {
          calls += 1;
          if (calls === 1) {
            throw new ServiceError('DATABASE_UNAVAILABLE', 'away');
          }
          return create(ReportFaultResponseSchema, {});
        },
      },
    });
    const { tasks } = client(url, { retry: hasty });
    const error = await failure(tasks.reportFault({ taskId: 'a' }));
    expect(error.reason).toBe('DATABASE_UNAVAILABLE');
    expect(calls).toBe(1);
  });

  test('that creates an image has one request id however often it is made', async () => {
    const requests: CreateImageRequest[] = [];
    const { url } = await startFakeServer({
      images: {
        createImage: (request) => {
          requests.push(request);
          if (requests.length < 3) {
            throw new ServiceError('DATABASE_UNAVAILABLE', 'away');
          }
          return create(CreateImageResponseSchema, {});
        },
      },
    });
    await client(url, { retry: hasty }).images.createImage({ image: { name: 'a' } });
    expect(requests.map(({ requestId }) => requestId)).toEqual(
      Array.from({ length: 3 }, () => expect.stringMatching(/^[0-9a-f]{32}$/)),
    );
    expect(new Set(requests.map(({ requestId }) => requestId)).size).toBe(1);
  });

  test('gets another token when the one that it has is refused', async () => {
    const { url } = await startFakeServer({
      images: {
        getImage: (_, { requestHeader }) => {
          if (requestHeader.get('authorization') !== 'Bearer new') {
            throw new ServiceError('CREDENTIAL_EXPIRED', 'old');
          }
          return create(GetImageResponseSchema, { image: { id: 'a' } });
        },
      },
    });
    const asked: unknown[] = [];
    const renewing = client(url, {
      credential: (request) => {
        asked.push(request.refused);
        return request.refused === 'old' ? 'new' : 'old';
      },
    });
    await renewing.images.getImage({ imageId: 'a' });
    expect(asked).toEqual([undefined, 'old']);
    const stubborn = client(url, { credential: () => 'old' });
    expect((await failure(stubborn.images.getImage({ imageId: 'a' }))).reason).toBe(
      'CREDENTIAL_EXPIRED',
    );
  });

  test('to where nobody listens fails as UNREACHABLE, when it has been tried for long enough', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    const { images } = client(`http://127.0.0.1:${port}`, {
      retry: { ...hasty, giveUpAfterMs: 100 },
    });
    const error = await failure(images.getImage({ imageId: 'a' }));
    expect(['UNREACHABLE', 'CONNECTION_LOST']).toContain(error.reason);
    expect(error).toMatchObject({ origin: 'network', isTransient: true });
  });

  test('that is given up fails with the reason of its signal, also while it waits', async () => {
    const { url } = await startFakeServer({
      images: {
        getImage: () => {
          throw new ServiceError('DATABASE_UNAVAILABLE', 'away', { retryDelayMs: 10_000 });
        },
      },
    });
    const giveUp = new AbortController();
    const reason = new Error('enough');
    const { images } = client(url);
    const waiting = images.getImage({ imageId: 'a' }, { signal: giveUp.signal });
    setTimeout(() => giveUp.abort(reason), 50);
    await expect(waiting).rejects.toBe(reason);
  });

  test('fails when the client is closed while it waits', async () => {
    const { url } = await startFakeServer({
      images: {
        getImage: () => {
          throw new ServiceError('DATABASE_UNAVAILABLE', 'away', { retryDelayMs: 10_000 });
        },
      },
    });
    const closing = client(url);
    const waiting = failure(closing.images.getImage({ imageId: 'a' }));
    setTimeout(() => closing.close(), 50);
    expect((await waiting).reason).toBe('CLIENT_CLOSED');
  });
});

test('whatever answers that is no Darkroom is told apart from a broken connection', async () => {
  const server = createHttpServer((_, response) => response.writeHead(403).end('go away'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as { port: number };
  const { images } = roads['fetch, Connect']!(`http://127.0.0.1:${port}`);
  expect(await failure(images.getImage({ imageId: 'a' }))).toMatchObject({
    reason: 'FOREIGN_ANSWER',
    origin: 'network',
    code: Code.PERMISSION_DENIED,
  });
});

test('a client holds no process up that has made a call', async () => {
  const { url } = await startFakeServer({
    images: { getImage: () => create(GetImageResponseSchema, { image: { id: 'a' } }) },
  });
  const script = `
    import { createDarkroomClient } from ${JSON.stringify(new URL('../../src/client/node.ts', import.meta.url).href)};
    const client = createDarkroomClient({ endpoint: ${JSON.stringify(url)} });
    console.log((await client.images.getImage({ imageId: 'a' })).image.id);`;
  const { code, output, errors } = await runProgram(process.execPath, [
    '--input-type=module',
    '--eval',
    script,
  ]);
  expect({ code, output, errors }).toEqual({ code: 0, output: 'a', errors: '' });
});
