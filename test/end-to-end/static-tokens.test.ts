import { dirname, join } from 'node:path';
import { createClient, type Interceptor } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import type { Role } from '../../src/access/caller.ts';
import { createToken, revokeToken } from '../../src/identity/static-tokens/token-store.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { patience } from '../support/held-upload.ts';
import { holdPut, put } from '../server/rest/put-fixtures.ts';
import { hasProgram } from '../support/disk-images.ts';
import { failureOf } from '../support/failures.ts';
import { runProgram } from '../support/programs.ts';
import { connectTo, sending, startService, uploadFrames } from '../support/running-service.ts';
import { failureToStart, makeDataDir, type ServiceProcess } from '../support/service-process.ts';

const origin = 'https://console.example.com';
const cleanUps = new CleanUps();
let file: string;
let service: ServiceProcess;

beforeAll(async () => {
  const folder = await makeDataDir();
  cleanUps.defer(folder.remove);
  file = join(folder.path, 'tokens.json');
  token('admin');
  const running = await startService(
    {
      DARKROOM_TOKENS_FILE: file,
      DARKROOM_PROCESSES: '2',
      DARKROOM_COMMIT_INTERVAL_MS: '50',
      DARKROOM_CORS_ORIGINS: origin,
    },
    cleanUps.defer,
  );
  service = running.process;
  return cleanUps.run;
}, 120_000);

interface Made {
  readonly id: string;
  readonly headers: { readonly authorization: string };
}

function token(role: Role, lifetimeMs?: number): Made {
  const { token: text, record } = createToken(file, {
    user: `a ${role}`,
    project: role === 'service' ? undefined : 'garden',
    roles: [role],
    description: undefined,
    lifetimeMs,
  });
  return { id: record.id, headers: { authorization: `Bearer ${text}` } };
}

/** Clients with a token that each process knows by now. */
async function known(
  role: Role,
  headers: Readonly<Record<string, string>> = {},
  lifetimeMs?: number,
) {
  const made = token(role, lifetimeMs);
  const clients = connectTo(service.url, { ...made.headers, ...headers });
  // Each connection of HTTP/1.1 may come to another process.
  for (let process = 0; process < 2; process += 1) {
    await expect
      .poll(
        async () =>
          (
            await fetch(`${service.url}/v2/schemas/task`, {
              headers: { ...made.headers, ...headers, connection: 'close' },
            })
          ).status,
      )
      .toBe(200);
  }
  await expect.poll(() => clients.images.listImages({}).then(() => 'known', String)).toBe('known');
  return { ...made, ...clients };
}

/** Resolves once so many bytes of a task are safe. */
async function committed(
  tasks: ReturnType<typeof connectTo>['tasks'],
  taskId: string,
  bytes: number,
): Promise<void> {
  await expect
    .poll(async () => Number((await tasks.getTask({ taskId })).task?.progress?.bytesDone), patience)
    .toBe(bytes);
}

const upload = {
  image: { name: 'disk', diskFormat: Image_DiskFormat.RAW },
  source: { case: 'upload', value: {} },
} as const;

interface Options {
  readonly baseUrl: string;
  readonly interceptors?: Interceptor[];
}

const kinds = [
  ['gRPC', createGrpcTransport],
  ['gRPC-Web', (options: Options) => createGrpcWebTransport({ ...options, httpVersion: '1.1' })],
  ['Connect', (options: Options) => createConnectTransport({ ...options, httpVersion: '1.1' })],
  [
    'Connect with protobuf',
    (options: Options) =>
      createConnectTransport({ ...options, httpVersion: '2', useBinaryFormat: true }),
  ],
] as const;

test.each(kinds)('over %s a call without a token is told what is missing', async (_, transport) => {
  const images = createClient(ImageService, transport({ baseUrl: service.url }));
  expect(await failureOf(images.listImages({}))).toMatchObject({
    code: 'Unauthenticated',
    reason: 'CREDENTIAL_MISSING',
  });
});

test('over HTTP it is told how to be known, and health is for everybody', async () => {
  const denied = await fetch(`${service.url}/v2/tasks`);
  expect(denied.status).toBe(401);
  expect(denied.headers.get('www-authenticate')).toBe('Bearer realm="darkroom"');
  const wrong = await fetch(`${service.url}/v2/tasks`, {
    headers: { authorization: 'Basic YTpi' },
  });
  expect(wrong.status).toBe(401);
  expect(wrong.headers.get('www-authenticate')).toContain('error="invalid_token"');
  expect((await fetch(`${service.url}/readyz`)).status).toBe(200);
});

test('who is known works in its project, and is written down as who made something', async () => {
  const { images, tasks } = await known('member');
  const { image, task } = await images.createImage(upload);
  expect(image).toMatchObject({ projectId: 'garden' });
  expect(task).toMatchObject({ projectId: 'garden', createdBy: 'a member' });
  await images.uploadImage(uploadFrames(Buffer.alloc(1000, 1), { taskId: task!.id }));

  const reader = await known('reader');
  expect((await reader.images.getImage({ imageId: image!.id })).image?.state).toBe(
    Image_State.ACTIVE,
  );
  expect(await failureOf(reader.images.deleteImage({ imageId: image!.id }))).toMatchObject({
    code: 'PermissionDenied',
    reason: 'ROLE_INSUFFICIENT',
    metadata: { role: 'reader', allowed_roles: 'member, admin, service' },
  });
  expect((await tasks.getTask({ taskId: task!.id })).task?.imageId).toBe(image!.id);
});

test('a service acts for the project that it names, and for no other', async () => {
  const nova = await known('service', { 'x-darkroom-project': 'orchard' });
  const { image } = await nova.images.createImage(upload);
  expect(image?.projectId).toBe('orchard');

  const elsewhere = connectTo(service.url, { ...nova.headers, 'x-darkroom-project': 'garden' });
  const unknown = await failureOf(
    elsewhere.images.getImage({ imageId: '019b0000-0000-7000-8000-000000000000' }),
  );
  const others = await failureOf(elsewhere.images.getImage({ imageId: image!.id }));
  expect(others).toEqual({
    ...unknown,
    message: unknown.message.replace('019b0000-0000-7000-8000-000000000000', image!.id),
    metadata: { image_id: image!.id },
  });
  expect(await failureOf(connectTo(service.url, nova.headers).images.listImages({}))).toMatchObject(
    {
      code: 'PermissionDenied',
      reason: 'PROJECT_NOT_ALLOWED',
    },
  );
  const member = await known('member');
  const lying = connectTo(service.url, { ...member.headers, 'x-darkroom-project': 'orchard' });
  expect(await failureOf(lying.images.listImages({}))).toMatchObject({
    code: 'PermissionDenied',
    reason: 'PROJECT_NOT_ALLOWED',
  });
});

describe('when a token is revoked', () => {
  test.each(kinds)('a watch over %s ends', async (_, transport) => {
    const { id, headers, images } = await known('member');
    const { task } = await images.createImage(upload);
    const tasks = createClient(
      TaskService,
      transport({ baseUrl: service.url, interceptors: [sending(headers)] }),
    );
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { content } of tasks.watchTask({ taskId: task!.id })) {
        seen.push(content.case!);
      }
    })();
    await expect.poll(() => seen).toContain('snapshot');
    const ended = failureOf(watching);
    revokeToken(file, id);
    expect(await ended).toMatchObject({
      code: 'Unauthenticated',
      reason: 'CREDENTIAL_INVALID',
      message: expect.stringContaining('revoked'),
    });
  });

  test('an upload ends, keeps what it has, and goes on with another token', async () => {
    const { id, images } = await known('member');
    const { image, task } = await images.createImage(upload);
    const bytes = Buffer.alloc(300_000, 7);
    const held = Promise.withResolvers<void>();
    const sent = images.uploadImage(
      (async function* () {
        yield* uploadFrames(bytes, { taskId: task!.id, until: 200_000, chunkBytes: 100_000 });
        await held.promise;
      })(),
    );
    const other = await known('member');
    await expect
      .poll(async () =>
        Number((await other.tasks.getTask({ taskId: task!.id })).task?.progress?.bytesDone),
      )
      .toBe(200_000);
    const ended = failureOf(sent);
    revokeToken(file, id);
    expect(await ended).toMatchObject({
      code: 'Unauthenticated',
      reason: 'CREDENTIAL_INVALID',
      metadata: { committed_size: '200000' },
    });
    held.resolve();
    const { faults } = await other.tasks.listFaults({ of: { case: 'taskId', value: task!.id } });
    expect(faults).toMatchObject([{ reason: 'CREDENTIAL_INVALID', fatal: false, retryable: true }]);

    const { committedSize, writerEpoch } = await other.images.resumeUpload({ taskId: task!.id });
    await other.images.uploadImage(
      uploadFrames(bytes, { taskId: task!.id, writerEpoch, offset: Number(committedSize) }),
    );
    expect((await other.images.getImage({ imageId: image!.id })).image?.state).toBe(
      Image_State.ACTIVE,
    );
  });

  test.each([
    ['by its length', { 'content-length': 300_000 }],
    ['in chunks', { 'transfer-encoding': 'chunked' }],
  ])(
    'a PUT ends, keeps what it has, and goes on with another token: %s',
    async (_, bodyHeaders) => {
      const { id, images, headers } = await known('member');
      const { image, task } = await images.createImage(upload);
      const bytes = Buffer.alloc(300_000, 7);
      const path = `/v2/images/${image!.id}/file`;
      const held = holdPut({ process: service }, path, { ...headers, ...bodyHeaders });
      await held.send(bytes.subarray(0, 200_000));
      const other = await known('member');
      await committed(other.tasks, task!.id, 200_000);
      revokeToken(file, id);
      const answer = await held.answer;
      expect(answer).toMatchObject({ status: 401, reason: 'CREDENTIAL_INVALID' });
      expect(answer.headers['www-authenticate']).toContain('error="invalid_token"');
      held.cut();
      const { faults } = await other.tasks.listFaults({ of: { case: 'taskId', value: task!.id } });
      expect(faults).toMatchObject([{ reason: 'CREDENTIAL_INVALID', fatal: false }]);

      const rest = await put({ process: service }, path, bytes.subarray(200_000), {
        ...other.headers,
        'content-range': 'bytes 200000-299999/300000',
      });
      expect(rest.status).toBe(204);
      expect((await other.images.getImage({ imageId: image!.id })).image).toMatchObject({
        state: Image_State.ACTIVE,
        sizeBytes: 300_000n,
      });
    },
  );

  test('each further call is refused', async () => {
    const { id, images } = await known('member');
    revokeToken(file, id);
    await expect
      .poll(() => failureOf(images.listImages({})).catch(() => undefined))
      .toMatchObject({ code: 'Unauthenticated', reason: 'CREDENTIAL_INVALID' });
  });
});

test('a watch ends when its token expires', async () => {
  const member = await known('member');
  const { task } = await member.images.createImage(upload);
  const brief = await known('reader', {}, 6000);
  const failure = await failureOf(
    (async () => {
      for await (const _ of brief.tasks.watchTask({ taskId: task!.id })) {
        // It lasts.
      }
    })(),
  );
  expect(failure).toMatchObject({ code: 'Unauthenticated', reason: 'CREDENTIAL_EXPIRED' });
});

test('a PUT ends when its token expires, and what came before stays', async () => {
  const member = await known('member');
  const { image, task } = await member.images.createImage(upload);
  const brief = await known('member', {}, 6000);
  const held = holdPut({ process: service }, `/v2/images/${image!.id}/stage`, {
    ...brief.headers,
    'transfer-encoding': 'chunked',
  });
  await held.send(Buffer.alloc(100_000, 7));
  await committed(member.tasks, task!.id, 100_000);
  expect(await held.answer).toMatchObject({ status: 401, reason: 'CREDENTIAL_EXPIRED' });
  held.cut();
  await committed(member.tasks, task!.id, 100_000);
});

test('a page of an allowed origin may send a token, and learns why it was refused', async () => {
  const url = `${service.url}/darkroom.v1.ImageService/ListImages`;
  const preflight = await fetch(url, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type,x-darkroom-project',
    },
  });
  expect(preflight.status).toBe(204);
  const allowed = preflight.headers.get('access-control-allow-headers')?.toLowerCase();
  expect(allowed).toContain('authorization');
  expect(allowed).toContain('x-darkroom-project');

  const call = {
    method: 'POST',
    body: '{}',
    headers: { origin, 'content-type': 'application/json' },
  };
  const refused = await fetch(url, call);
  expect(refused.status).toBe(401);
  expect(refused.headers.get('access-control-allow-origin')).toBe(origin);
  expect(refused.headers.get('access-control-expose-headers')).toContain('WWW-Authenticate');
  expect(refused.headers.get('www-authenticate')).toBe('Bearer realm="darkroom"');
  const { headers } = await known('reader');
  const done = await fetch(url, { ...call, headers: { ...call.headers, ...headers } });
  expect(done.status).toBe(200);
});

test.skipIf(!hasProgram('glance', 'python3-glanceclient'))(
  'the glance client sends its token',
  async () => {
    const { headers } = await known('reader');
    const glance = (token: string) =>
      runProgram('env', [
        `HOME=${dirname(file)}`,
        'PYTHONWARNINGS=ignore',
        'glance',
        `--os-image-url=${service.url}`,
        `--os-auth-token=${token}`,
        'task-list',
      ]);
    const listed = await glance(headers.authorization.slice('Bearer '.length));
    expect(listed).toMatchObject({ code: 0, output: expect.stringContaining('garden') });
    const refused = await glance('any');
    expect(refused.code).not.toBe(0);
    expect(refused.errors).toContain('Invalid OpenStack Identity credentials');
  },
);

test('reflection is for those who are known', async () => {
  const path = `${service.url}/grpc.reflection.v1.ServerReflection/ServerReflectionInfo`;
  const headers = { 'content-type': 'application/connect+json' };
  const body = new Uint8Array(5);
  const anonymous = await fetch(path, { method: 'POST', headers, body });
  expect(await anonymous.text()).toContain('CREDENTIAL_MISSING');
});

test('the log says who called, and no token is in it', () => {
  const ofCall = (method: string, code: string): unknown =>
    service.log.find((line) => line['method'] === method && line['code'] === code);
  expect(ofCall('darkroom.v1.ImageService/CreateImage', 'OK')).toMatchObject({
    project: 'garden',
    user: 'a member',
  });
  expect(ofCall('darkroom.v1.ImageService/DeleteImage', 'PERMISSION_DENIED')).toMatchObject({
    reason: 'ROLE_INSUFFICIENT',
    project: 'garden',
    user: 'a reader',
  });
  expect(ofCall('GET /v2/tasks', 'UNAUTHENTICATED')).not.toHaveProperty('user');
  expect(service.output()).toContain('"reason":"CREDENTIAL_INVALID"');
  expect(service.output()).not.toMatch(/dkr_[0-9a-f]{12}_/);
});

describe('a start is refused', () => {
  const databaseUrl = 'postgresql://nobody@127.0.0.1:1/none';

  test('beyond loopback, while everybody would be the admin', async () => {
    await using dataDir = await makeDataDir();
    const env = { DARKROOM_HOST: '0.0.0.0' };
    const { exit, output } = await failureToStart({ dataDir: dataDir.path, databaseUrl, env });
    expect(exit).toBe(2);
    expect(output).toMatch(/by DARKROOM_TOKENS_FILE, .* set DARKROOM_ALLOW_ANONYMOUS=everywhere/);
  });

  test.each(['1', '2'])('without its token file, of %s processes', async (processes) => {
    await using dataDir = await makeDataDir();
    const path = join(dataDir.path, 'none.json');
    const env = { DARKROOM_TOKENS_FILE: path, DARKROOM_PROCESSES: processes };
    const { exit, output } = await failureToStart({ dataDir: dataDir.path, databaseUrl, env });
    expect(exit).toBe(2);
    expect(output).toContain(`${path} cannot be used: `);
  });
});
