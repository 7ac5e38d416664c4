import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { grpcJsClient, unary } from '../../src/client/grpc-js-client.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasPythonModule } from '../support/disk-images.ts';
import { failureOf } from '../support/failures.ts';
import { findFreePort } from '../support/free-port.ts';
import { runProgram } from '../support/programs.ts';
import { connectTo, startService } from '../support/running-service.ts';
import { repository, type ServiceProcess } from '../support/service-process.ts';

const python = '/usr/bin/python3';
const audience = 'https://darkroom.test/';
const clients = [
  { id: 'ci', secret: 'secret of ci', project: 'garden', scope: 'darkroom:member darkroom:reader' },
  { id: 'nova', secret: 'secret of nova', scope: 'darkroom:service' },
];

const cleanUps = new CleanUps();
let port: number;
let provider: ChildProcess;
let service: ServiceProcess;

async function makeKey(kid: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, alg: 'ES256', use: 'sig' };
}

async function startProvider(...keys: readonly JWK[]): Promise<void> {
  const options = JSON.stringify({ port, audience, keys, clients });
  const child = spawn(process.execPath, ['test/support/openid-provider.mjs', options], {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  provider = child;
  cleanUps.defer(async () => void child.kill('SIGKILL'));
  await once(createInterface({ input: child.stdout }), 'line');
}

async function stopProvider(): Promise<void> {
  provider.kill('SIGKILL');
  await once(provider, 'close');
}

/** Gets a token as any client of the provider would. */
async function tokenOf(id: string, scope: string): Promise<string> {
  const client = clients.find((one) => one.id === id)!;
  const response = await fetch(`http://127.0.0.1:${port}/token`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${btoa(`${encodeURIComponent(id)}:${encodeURIComponent(client.secret)}`)}`,
    },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope }),
  });
  const answer = (await response.json()) as { access_token?: string; scope?: string };
  expect(answer.scope, JSON.stringify(answer)).toBe(scope);
  return answer.access_token!;
}

function callers(token: string, headers: Readonly<Record<string, string>> = {}) {
  return connectTo(service.url, { authorization: `Bearer ${token}`, ...headers });
}

let firstKey: JWK;

beforeAll(async () => {
  port = await findFreePort();
  firstKey = await makeKey('first');
  await startProvider(firstKey);
  const issuer = `http://127.0.0.1:${port}`;
  const running = await startService(
    {
      DARKROOM_JWT_ISSUER: issuer,
      DARKROOM_JWT_AUDIENCE: audience,
      DARKROOM_JWT_JWKS_URL: `${issuer}/jwks`,
      DARKROOM_JWT_ROLES_CLAIM: 'scope',
      DARKROOM_JWT_ROLE_PREFIX: 'darkroom:',
      DARKROOM_JWT_PROJECT_CLAIM: 'cloud.project',
    },
    cleanUps.defer,
  );
  service = running.process;
  return cleanUps.run;
}, 120_000);

const create = {
  image: { name: 'disk', diskFormat: Image_DiskFormat.RAW },
  source: { case: 'upload', value: {} },
} as const;

describe('with a token of an OpenID provider', () => {
  test('a program works in its project, as far as its scopes go', async () => {
    const { images } = callers(await tokenOf('ci', 'darkroom:member'));
    const { image, task } = await images.createImage(create);
    expect(image?.projectId).toBe('garden');
    expect(task?.createdBy).toBe('ci');
    const reader = callers(await tokenOf('ci', 'darkroom:reader'));
    expect((await reader.images.getImage({ imageId: image!.id })).image?.name).toBe('disk');
    expect(await failureOf(reader.images.createImage(create))).toMatchObject({
      code: 'PermissionDenied',
      reason: 'ROLE_INSUFFICIENT',
    });
  });

  test('a compute service acts for the project that it names', async () => {
    const token = await tokenOf('nova', 'darkroom:service');
    const { images } = callers(token, { 'x-darkroom-project': 'orchard' });
    const { image, task } = await images.createImage(create);
    expect(image?.projectId).toBe('orchard');
    expect(task?.createdBy).toBe('nova');
  });

  test('grpc-js calls', async () => {
    const images = grpcJsClient(ImageService, new URL(service.url).host);
    cleanUps.defer(async () => images.close());
    const list = images.listImages.bind(images);
    const authorization = `Bearer ${await tokenOf('ci', 'darkroom:reader')}`;
    const { images: listed } = await unary(list, {}, { metadata: { authorization } });
    expect(listed.length).toBeGreaterThan(0);
    await expect(unary(list, {})).rejects.toMatchObject({
      code: 16,
      details: expect.stringContaining('has to know who calls'),
    });
  });

  test('buf curl calls, and learns the contract by reflection', async () => {
    const authorization = `Authorization: Bearer ${await tokenOf('ci', 'darkroom:reader')}`;
    const curl = (...options: string[]) =>
      runProgram('node_modules/.bin/buf', [
        'curl',
        '--http2-prior-knowledge',
        ...options,
        '-d',
        '{}',
        `${service.url}/darkroom.v1.ImageService/ListImages`,
      ]);
    const known = await curl('-H', authorization, '--reflect-header', '*');
    expect(known.errors).toBe('');
    expect(JSON.parse(known.output)).toMatchObject({ images: expect.any(Array) });
    const unknown = await curl('--reflect-header', authorization);
    // It ends with the gRPC code, three bits to the left.
    expect(unknown.code).toBe(16 << 3);
    expect(unknown.errors).toContain('unauthenticated');
    expect((await curl()).code).not.toBe(0);
  });

  test.skipIf(!hasPythonModule(python, 'grpc', 'python3-grpcio'))('Python calls', async () => {
    const call = async (token: string): Promise<unknown> => {
      const script = `DARKROOM_TEST_TOKEN="$1" exec ${python} test/clients/token_client.py "$2"`;
      const { output } = await runProgram('bash', [
        '-c',
        script,
        'bash',
        token,
        new URL(service.url).host,
      ]);
      return JSON.parse(output);
    };
    expect(await call(await tokenOf('ci', 'darkroom:reader'))).toEqual({ code: 'OK' });
    expect(await call('')).toMatchObject({ code: 'UNAUTHENTICATED' });
  });
});

test('the provider changes its keys while the service runs, and goes away', async () => {
  const old = callers(await tokenOf('ci', 'darkroom:reader'));
  await old.images.listImages({});

  // As providers do it: the new key signs, the old one is still there for a while.
  const secondKey = await makeKey('second');
  await stopProvider();
  await startProvider(secondKey, firstKey);
  const young = callers(await tokenOf('ci', 'darkroom:reader'));
  await young.images.listImages({});
  await old.images.listImages({});

  await stopProvider();
  await startProvider(await makeKey('third'));
  const late = await tokenOf('ci', 'darkroom:reader');
  await stopProvider();
  expect(await failureOf(callers(late).images.listImages({}))).toMatchObject({
    code: 'Unavailable',
    reason: 'IDENTITY_UNAVAILABLE',
    hasRetryInfo: true,
  });
  await young.images.listImages({});
  expect(service.log.filter(({ msg }) => msg?.includes('those that are known go on'))).toHaveLength(
    1,
  );
  expect(service.output()).not.toContain('eyJ');
});
