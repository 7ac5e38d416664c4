import { EventEmitter, once } from 'node:events';
import * as http2 from 'node:http2';
import { createClient } from '@connectrpc/connect';
import { describe, expect, test } from 'vitest';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import { ServerReflection } from '../../gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as ServerReflectionAlpha } from '../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { defaultCaller } from '../../src/access/caller.ts';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import { Authenticator } from '../../src/identity/authenticator.ts';
import type { Identity } from '../../src/identity/identity.ts';
import { CredentialWatch } from '../../src/server/credential-watch.ts';
import { guardedGate, type Gate } from '../../src/server/gate.ts';
import type { NodeResponse } from '../../src/server/transport/node-http.ts';
import { callerOf } from '../../src/server/transport/request-context.ts';
import { failureOf, readAll } from '../support/failures.ts';
import { startFakeServer, transportOf, transports } from './fake-server.ts';

const ann: Identity = {
  userId: 'ann',
  projectId: 'garden',
  roles: ['member'],
  expiresAtMs: Number.POSITIVE_INFINITY,
  isRevoked: false,
};

/** A gate that asks somebody who takes his time. */
function slowGate(identify: (token: string) => Promise<Identity>): Gate {
  const tokens = [{ takes: () => true, identify }];
  return guardedGate(new Authenticator({ tokens }), () => undefined);
}

const authorization = { authorization: 'Bearer any' };

describe.each(transports)('over $protocol and HTTP/$httpVersion', (kind) => {
  test('a service without identity knows one project, and no other by its name', async () => {
    const server = await startFakeServer({ images: { listImages: () => ({}) } });
    const images = (headers: Record<string, string>) =>
      createClient(ImageService, transportOf(server.url, kind, undefined, headers));
    await images({}).listImages({});
    await images({ 'x-darkroom-project': 'default' }).listImages({});
    expect(
      await failureOf(images({ 'x-darkroom-project': 'garden' }).listImages({})),
    ).toMatchObject({ code: 'PermissionDenied', reason: 'PROJECT_NOT_ALLOWED' });
  });

  test('a call waits until its caller is known, and nothing of it is lost', async () => {
    const asked = Promise.withResolvers<void>();
    const known = Promise.withResolvers<Identity>();
    const server = await startFakeServer({
      gate: slowGate(() => {
        asked.resolve();
        return known.promise;
      }),
      images: {
        uploadChunk: ({ data }, context) => ({
          committedSize: BigInt(data.length),
          image: { projectId: callerOf(context).projectId },
        }),
      },
      tasks: {
        async *watchTask(_, context) {
          yield { resumeToken: callerOf(context).userId };
        },
      },
    });
    const transport = transportOf(server.url, kind, undefined, authorization);
    const answer = createClient(ImageService, transport).uploadChunk({
      data: new Uint8Array(200 * 1024),
    });
    const watch = readAll(createClient(TaskService, transport).watchTask({}));
    await asked.promise;
    known.resolve(ann);
    expect(await answer).toMatchObject({ committedSize: 204_800n, image: { projectId: 'garden' } });
    expect(await watch).toMatchObject([{ resumeToken: 'ann' }]);
  });

  test('a refusal that takes its time is told as any', async () => {
    const server = await startFakeServer({
      gate: slowGate(() =>
        Promise.reject(
          new DarkroomError('IDENTITY_UNAVAILABLE', 'not now', { retryDelayMs: 1000 }),
        ),
      ),
    });
    const transport = transportOf(server.url, kind, undefined, authorization);
    expect(await failureOf(createClient(ImageService, transport).listImages({}))).toMatchObject({
      code: 'Unavailable',
      reason: 'IDENTITY_UNAVAILABLE',
      hasRetryInfo: true,
    });
  });
});

test('a call that is given up while its caller is looked up is not begun', async () => {
  const asked = Promise.withResolvers<void>();
  const known = Promise.withResolvers<Identity>();
  let begun = 0;
  const server = await startFakeServer({
    gate: slowGate(() => {
      asked.resolve();
      return known.promise;
    }),
    images: {
      listImages() {
        begun += 1;
        return {};
      },
    },
  });
  const session = http2.connect(server.url);
  const stream = session.request({
    ':method': 'POST',
    ':path': '/darkroom.v1.ImageService/ListImages',
    'content-type': 'application/json',
    ...authorization,
  });
  stream.on('error', () => {});
  stream.end('{}');
  await asked.promise;
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await expect.poll(() => server.log.find(({ code }) => code === 'CANCELED')).toBeDefined();
  known.resolve(ann);

  const next = session.request({
    ':method': 'POST',
    ':path': '/darkroom.v1.ImageService/ListImages',
    'content-type': 'application/json',
    ...authorization,
  });
  next.end('{}');
  const [headers] = (await once(next, 'response')) as [http2.IncomingHttpHeaders];
  expect(headers[':status']).toBe(200);
  session.destroy();
  expect(begun).toBe(1);
});

test('a defect of who is asked costs the call alone, and tells its client nothing', async () => {
  let calls = 0;
  const server = await startFakeServer({
    gate: slowGate(async () => {
      calls += 1;
      if (calls === 1) {
        throw new Error('a secret');
      }
      return ann;
    }),
    images: { listImages: () => ({}) },
  });
  const kind = { protocol: 'grpc', httpVersion: '2' } as const;
  const transport = transportOf(server.url, kind, undefined, authorization);
  const images = createClient(ImageService, transport);
  const failure = await failureOf(images.listImages({}));
  expect(failure.code).toBe('Internal');
  expect(failure.message).not.toContain('secret');
  expect(server.log.find(({ level }) => level === 50)).toMatchObject({
    err: { message: expect.stringContaining('a secret') },
  });
  await images.listImages({});
});

test('what is everybody’s is not asked about', async () => {
  const server = await startFakeServer({ gate: slowGate(() => expect.unreachable()) });
  expect((await fetch(`${server.url}/healthz`, { headers: authorization })).status).toBe(200);
  expect(defaultCaller.role).toBe('admin');
});

test.each([
  ['everybody', undefined],
  ['callers', { code: 'Unauthenticated', reason: 'CREDENTIAL_MISSING' }],
  ['off', { code: 'Unimplemented', reason: 'UNSUPPORTED' }],
] as const)('reflection that is for %s is so', async (reflection, refusal) => {
  const server = await startFakeServer({
    settings: { reflection },
    gate: slowGate(() => Promise.resolve(ann)),
  });
  const kind = { protocol: 'grpc', httpVersion: '2' } as const;
  for (const service of [
    ServerReflection,
    ServerReflectionAlpha as unknown as typeof ServerReflection,
  ]) {
    const ask = (headers: Record<string, string>): Promise<unknown[]> =>
      readAll(
        createClient(
          service,
          transportOf(server.url, kind, undefined, headers),
        ).serverReflectionInfo(
          (async function* () {
            yield { messageRequest: { case: 'listServices' as const, value: '' } };
          })(),
        ),
      );
    if (refusal === undefined) {
      expect(await ask({})).toHaveLength(1);
    } else {
      expect(await failureOf(ask({}))).toMatchObject(refusal);
    }
    if (reflection !== 'off') {
      expect(await ask(authorization)).toHaveLength(1);
    }
  }
});

test('many calls end with their credential, those too that have not quite begun', async () => {
  const identity = { ...ann, isRevoked: false };
  const watch = new CredentialWatch();
  const ended = new Set<number>();
  let triesOfLast = 0;
  const responses = Array.from({ length: 1001 }, (_, number) => {
    const response = new EventEmitter();
    const end = (error: DarkroomError): boolean => {
      expect(error.reason).toBe('CREDENTIAL_INVALID');
      if (number === 1000 && (triesOfLast += 1) < 3) {
        return false;
      }
      expect(ended.has(number)).toBe(false);
      ended.add(number);
      return true;
    };
    watch.follow({ identity, end }, response as NodeResponse);
    return response;
  });
  const other = new EventEmitter();
  watch.follow({ identity: ann, end: () => expect.unreachable() }, other as NodeResponse);
  identity.isRevoked = true;
  await expect.poll(() => ended.size).toBe(1001);
  expect(triesOfLast).toBe(3);
  [...responses, other].forEach((response) => response.emit('close'));
});
