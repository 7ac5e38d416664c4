import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { Code } from '../../gen/google/rpc/code_pb.ts';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasProgram } from '../support/disk-images.ts';
import { failureOf } from '../support/failures.ts';
import { startCloud, type Cloud } from '../support/openstack/cloud.ts';
import { cloudAdmin, hasKeystone, makeFernetKeys } from '../support/openstack/keystone.ts';
import { runProgram, type ProgramResult } from '../support/programs.ts';
import {
  connectTo,
  startService,
  uploadFrames,
  type RunningService,
} from '../support/running-service.ts';
import type { ServiceProcess } from '../support/service-process.ts';
import { makeIssuer } from '../support/token-issuer.ts';

/** OpenStack's own Keystone says who calls. */

type Headers = Readonly<Record<string, string>>;

const create = {
  image: { name: 'disk', diskFormat: Image_DiskFormat.RAW },
  source: { case: 'upload', value: {} },
} as const;

type Callers = Pick<RunningService, 'images' | 'tasks'>;

const cacheMs = 500;

function callers(service: ServiceProcess, token: string, headers: Headers = {}): Callers {
  return connectTo(service.url, { 'x-auth-token': token, ...headers });
}

/** How a list of images goes for who has a token. */
async function standing(
  service: ServiceProcess,
  token: string,
  headers?: Headers,
): Promise<string> {
  try {
    await callers(service, token, headers).images.listImages({});
    return 'known';
  } catch (error) {
    return (await failureOf(Promise.reject(error))).reason ?? 'no reason';
  }
}

describe.skipIf(!hasKeystone())('with tokens of a Keystone', () => {
  let cloud: Cloud;
  let service: ServiceProcess;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    cloud = await startCloud(cleanUps.defer);
    const settings = { ...cloud.settings, DARKROOM_KEYSTONE_CACHE_MS: String(cacheMs) };
    service = (await startService(settings, cleanUps.defer)).process;
    await cloud.register('image', service.url);
    return cleanUps.run;
  }, 600_000);

  test('a member works in its project, and is recorded by Keystone’s id', async () => {
    const { images, tasks } = callers(service, await cloud.token('ann'));
    const { image, task } = await images.createImage(create);
    expect(image?.projectId).toBe(cloud.projects.garden);
    expect(task?.createdBy).toBe(cloud.users.ann);
    const strangers = callers(service, await cloud.token('otto'));
    expect(await failureOf(strangers.tasks.getTask({ taskId: task!.id }))).toMatchObject({
      reason: 'TASK_NOT_FOUND',
    });
    const asBearer = connectTo(service.url, {
      authorization: `Bearer ${await cloud.token('ann')}`,
    });
    expect((await asBearer.images.getImage({ imageId: image!.id })).image?.name).toBe('disk');
    expect((await tasks.getTask({ taskId: task!.id })).task?.projectId).toBe(cloud.projects.garden);
  });

  test('each role reaches as far as ours of its name, and others are none', async () => {
    const reader = callers(service, await cloud.token('rita'));
    await reader.images.listImages({});
    expect(await failureOf(reader.images.createImage(create))).toMatchObject({
      reason: 'ROLE_INSUFFICIENT',
    });
    expect(await standing(service, await cloud.token('nobody'))).toBe('ROLE_INSUFFICIENT');

    const { tasks, images } = callers(service, await cloud.token('ann'));
    const { task } = await images.createImage(create);
    const fault = {
      code: Code.INTERNAL,
      reason: 'DISK_READ_FAILED',
      message: 'no',
      detail: '/dev/sda',
    };
    await tasks.reportFault({ taskId: task!.id, ...fault, fatal: true });
    const detail = async (user: 'ann' | 'ada'): Promise<string | undefined> => {
      const of = callers(service, await cloud.token(user));
      return (await of.tasks.listFaults({ of: { case: 'taskId', value: task!.id } })).faults[0]
        ?.detail;
    };
    expect(await detail('ann')).toBe('');
    expect(await detail('ada')).toBe('/dev/sda');
  });

  test('a compute service acts for the project that it names', async () => {
    const token = await cloud.token('nova');
    const project = { 'x-darkroom-project': cloud.projects.orchard };
    const { image, task } = await callers(service, token, project).images.createImage(create);
    expect(image?.projectId).toBe(cloud.projects.orchard);
    expect(task?.createdBy).toBe(cloud.users.nova);
    expect(await standing(service, token)).toBe('PROJECT_NOT_ALLOWED');
    const asMember = { 'x-darkroom-project': cloud.projects.orchard };
    expect(await standing(service, await cloud.token('ann'), asMember)).toBe('PROJECT_NOT_ALLOWED');
  });

  test('a token of no project opens none', async () => {
    const { user, password } = cloudAdmin;
    const project = { 'x-darkroom-project': cloud.projects.garden };
    for (const scope of [undefined, { system: true }, { domain: 'Default' }] as const) {
      if (scope !== undefined && 'domain' in scope) {
        const admin = (await cloud.keystone.ask('GET', '/users?name=admin')).body;
        const [{ id = '' } = {}] = admin['users'] as unknown as { id?: string }[];
        await cloud.keystone.ask(
          'PUT',
          `/domains/default/users/${id}/roles/${cloud.roles['admin']}`,
        );
      }
      const token = await cloud.keystone.token({ user, password, ...(scope && { scope }) });
      expect(await standing(service, token)).toBe('PROJECT_NOT_ALLOWED');
      expect(await standing(service, token, project)).toBe('PROJECT_NOT_ALLOWED');
    }
  });

  test('what a client says of itself does not count', async () => {
    const claims = {
      'x-identity-status': 'Confirmed',
      'x-roles': 'admin,member',
      'x-user-id': cloud.users.ada,
      'x-project-id': cloud.projects.orchard,
      'x-service-roles': 'service',
    };
    const { images } = callers(service, await cloud.token('rita'), claims);
    expect(await failureOf(images.createImage(create))).toMatchObject({
      reason: 'ROLE_INSUFFICIENT',
    });
    const { images: nobodys } = connectTo(service.url, claims);
    expect(await failureOf(nobodys.listImages({}))).toMatchObject({ reason: 'CREDENTIAL_MISSING' });
  });

  test.each([
    ['no token', {}],
    ['a made-up one', { 'x-auth-token': `gAAAAABpZ1${'x'.repeat(160)}` }],
  ])(
    'with %s it is told where to get one, as OpenStack’s services do',
    async (_, headers: Headers) => {
      const answer = await fetch(`${service.url}/v2/tasks`, { headers });
      expect(answer.status).toBe(401);
      expect(answer.headers.get('www-authenticate')).toContain(
        `Keystone uri="${cloud.keystone.url}"`,
      );
      expect(answer.headers.get('www-authenticate')).toContain('Bearer realm="darkroom"');
    },
  );

  test('a token that was taken back is worth nothing once its time in memory is over', async () => {
    const token = await cloud.token('ann');
    const { images, tasks } = callers(service, token);
    const { task } = await images.createImage(create);
    const events = tasks.watchTask({ taskId: task!.id });
    const watch = failureOf(
      (async () => {
        for await (const _ of events) {
          // It goes on for as long as it may.
        }
      })(),
    );
    await cloud.keystone.ask('DELETE', '/auth/tokens', undefined, { 'x-subject-token': token });
    await expect.poll(() => standing(service, token)).toBe('CREDENTIAL_INVALID');
    expect(await watch).toMatchObject({ reason: 'CREDENTIAL_INVALID' });
  });

  test('who lost the role, or may not log in any more, is known no more', async () => {
    const { keystone, projects, roles } = cloud;
    const made = await keystone.ask('POST', '/users', {
      user: { name: 'temp', password: 'password of temp', domain_id: 'default' },
    });
    const { id } = made.body['user']!;
    const role = `/projects/${projects.garden}/users/${id}/roles/${roles['member']}`;
    await keystone.ask('PUT', role);
    const login = { user: 'temp', password: 'password of temp', scope: { project: 'garden' } };
    const token = await keystone.token(login);
    expect(await standing(service, token)).toBe('known');
    await keystone.ask('DELETE', role);
    await expect.poll(() => standing(service, token)).toBe('CREDENTIAL_INVALID');

    await keystone.ask('PUT', role);
    const another = await keystone.token(login);
    expect(await standing(service, another)).toBe('known');
    await keystone.ask('PATCH', `/users/${id}`, { user: { enabled: false } });
    await expect.poll(() => standing(service, another)).toBe('CREDENTIAL_INVALID');
  });

  test('a token that may do less than its user, by rules that only Keystone knows, is not taken', async () => {
    const { keystone, users } = cloud;
    const token = await cloud.token('ann');
    const tokenOf = async (name: string, facts: object): Promise<string> => {
      const { body } = await keystone.ask(
        'POST',
        `/users/${users.ann}/application_credentials`,
        { application_credential: { name, secret: 'secret', ...facts } },
        { 'x-auth-token': token },
      );
      const { id } = body['application_credential']!;
      const application_credential = { id, secret: 'secret' };
      const auth = { identity: { methods: ['application_credential'], application_credential } };
      const answer = await fetch(`${keystone.url}/auth/tokens`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ auth }),
      });
      return answer.headers.get('x-subject-token') ?? '';
    };
    expect(await standing(service, await tokenOf('all', {}))).toBe('known');
    const rules = [{ path: '/v2/images', method: 'GET', service: 'image' }];
    expect(await standing(service, await tokenOf('some', { access_rules: rules }))).toBe(
      'CREDENTIAL_INVALID',
    );
  });

  test('glance works through the catalog', async () => {
    expect(hasProgram('glance', 'python3-glanceclient')).toBe(true);
    const { images } = callers(service, await cloud.token('ann'));
    const { image, task } = await images.createImage(create);
    const listed = await openStack(cloud, 'glance', 'task-list');
    expect(listed).toMatchObject({ code: 0, output: expect.stringContaining(task!.id) });
    const shown = await openStack(cloud, 'glance', 'image-show', image!.id);
    expect(shown).toMatchObject({ code: 0, output: expect.stringContaining(image!.projectId) });
  });

  test.skipIf(!hasProgram('openstack', 'python3-openstackclient'))(
    'openstack works through the catalog',
    async () => {
      const { images } = callers(service, await cloud.token('ann'));
      const { image } = await images.createImage(create);
      const listed = await openStack(
        cloud,
        'openstack',
        'image',
        'list',
        '-f',
        'value',
        '-c',
        'ID',
      );
      expect(listed.output.split('\n')).toContain(image!.id);
      const shown = await openStack(cloud, 'openstack', 'image', 'show', '-f', 'json', image!.id);
      expect(shown.errors).toBe('');
      expect(JSON.parse(shown.output)).toMatchObject({
        id: image!.id,
        owner: cloud.projects.garden,
        status: 'queued',
      });
    },
  );

  test('no token and no password is in the log', () => {
    expect(service.output()).not.toMatch(/gAAAA|password of/);
    expect(service.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });
});

/** Runs a command line of OpenStack as ann. */
function openStack(cloud: Cloud, ...command: readonly string[]): Promise<ProgramResult> {
  const { user, password } = cloud.login('ann');
  return runProgram('env', [
    `HOME=${cloud.keystone.folder}`,
    'PYTHONWARNINGS=ignore',
    'OS_IDENTITY_API_VERSION=3',
    `OS_AUTH_URL=${cloud.keystone.url}`,
    `OS_USERNAME=${user}`,
    `OS_PASSWORD=${password}`,
    'OS_PROJECT_NAME=garden',
    'OS_USER_DOMAIN_ID=default',
    'OS_PROJECT_DOMAIN_ID=default',
    'OS_REGION_NAME=RegionOne',
    ...command,
  ]);
}

describe.skipIf(!hasKeystone())('a service beside its Keystone', () => {
  let cloud: Cloud;
  /** Of a service of the test's own. */
  let secretFile: string;
  let settings: Headers;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    cloud = await startCloud(cleanUps.defer);
    return cleanUps.run;
  }, 600_000);

  beforeEach(async () => {
    secretFile = join(cloud.keystone.folder, `secret-${randomUUID()}`);
    settings = { ...cloud.settings, DARKROOM_KEYSTONE_SECRET_FILE: secretFile };
    await writeFile(secretFile, 'password of darkroom');
  });

  test('goes on with whom it knows while Keystone is away, and knows all again afterwards', async () => {
    const { process: service } = await startService(settings);
    const known = await cloud.token('ann');
    const late = await cloud.token('rita');
    expect(await standing(service, known)).toBe('known');

    await cloud.keystone.stop();
    expect(await standing(service, known)).toBe('known');
    expect(await failureOf(callers(service, late).images.listImages({}))).toMatchObject({
      code: 'Unavailable',
      reason: 'IDENTITY_UNAVAILABLE',
      hasRetryInfo: true,
    });
    const answer = await fetch(`${service.url}/v2/tasks`, { headers: { 'x-auth-token': late } });
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);

    await cloud.keystone.start();
    expect(await standing(service, late)).toBe('known');
    const warnings = service.log.filter(({ msg }) => msg?.includes('Keystone cannot be asked'));
    expect(warnings).toHaveLength(1);
  });

  test('gets another token of its own when Keystone’s keys were exchanged', async () => {
    const { process: service } = await startService(settings);
    const before = await cloud.token('ann');
    const unseen = await cloud.token('rita');
    expect(await standing(service, before)).toBe('known');
    await cloud.keystone.stop();
    await makeFernetKeys(cloud.keystone.folder);
    await cloud.keystone.start();
    expect(await standing(service, unseen)).toBe('CREDENTIAL_INVALID');
    expect(await standing(service, await cloud.token('ann'))).toBe('known');
  });

  test('says in its log what Keystone does not take of it, and refuses nobody for that', async () => {
    await writeFile(secretFile, 'wrong');
    const { process: service } = await startService(settings);
    const token = await cloud.token('ann');
    expect(await standing(service, token)).toBe('IDENTITY_UNAVAILABLE');
    await service.line(({ msg }) => msg?.includes('does not take the user and password') === true);
    await rm(secretFile);
    await writeFile(secretFile, 'password of darkroom');
    await expect.poll(() => standing(service, token)).toBe('known');
  });

  test('whose user may not ask is told so', async () => {
    const ann = { DARKROOM_KEYSTONE_USER: 'ann', DARKROOM_KEYSTONE_PROJECT: 'garden' };
    await writeFile(secretFile, 'password of ann');
    const { process: service } = await startService({ ...settings, ...ann });
    expect(await standing(service, await cloud.token('rita'))).toBe('IDENTITY_UNAVAILABLE');
    await service.line(({ msg }) => msg?.includes('give its user the role "service"') === true);
  });

  test('asks by an application credential, and takes JWS tokens beside those of another issuer', async () => {
    const { keystone, users } = cloud;
    await keystone.stop();
    await keystone.start('jws');
    const { body } = await keystone.ask(
      'POST',
      `/users/${users.darkroom}/application_credentials`,
      { application_credential: { name: 'darkroom', secret: 'secret' } },
      { 'x-auth-token': await cloud.token('darkroom') },
    );
    await writeFile(secretFile, 'secret');
    const issuer = await makeIssuer();
    const keys = join(keystone.folder, 'keys.json');
    await writeFile(keys, issuer.keySet);
    const { process: service } = await startService({
      ...settings,
      ...issuer.settings,
      DARKROOM_JWT_JWKS_FILE: keys,
      DARKROOM_KEYSTONE_USER: '',
      DARKROOM_KEYSTONE_APPLICATION_CREDENTIAL: body['application_credential']!.id,
    });
    const token = await cloud.token('ann');
    expect(token.split('.')).toHaveLength(3);
    expect(await standing(service, token)).toBe('known');
    expect(await standing(service, await issuer.token())).toBe('known');
    const [head = '', payload = '', signature = ''] = token.split('.');
    const changed = Buffer.from(payload, 'base64url').toString().replace(users.ann, users.ada);
    const forged = `${head}.${Buffer.from(changed).toString('base64url')}.${signature}`;
    expect(await standing(service, forged)).toBe('CREDENTIAL_INVALID');
  });

  test('ends an upload when its token was taken back, and another token goes on with it', async () => {
    const { process: service } = await startService({
      ...settings,
      DARKROOM_KEYSTONE_CACHE_MS: '0',
    });
    const token = await cloud.token('ann');
    const { images } = callers(service, token);
    const { task } = await images.createImage(create);
    const bytes = Buffer.alloc(1024 * 1024, 'darkroom');
    const ended = Promise.withResolvers<void>();
    onTestFinished(() => ended.resolve());
    async function* slowly() {
      yield* uploadFrames(bytes, { taskId: task!.id, until: 65_536, chunkBytes: 65_536 });
      await ended.promise;
    }
    const upload = failureOf(images.uploadImage(slowly()));
    const { tasks } = callers(service, token);
    await expect
      .poll(async () => (await tasks.getTask({ taskId: task!.id })).task?.progress?.bytesDone)
      .toBe(65_536n);
    await cloud.keystone.ask('DELETE', '/auth/tokens', undefined, { 'x-subject-token': token });
    expect(await upload).toMatchObject({ reason: 'CREDENTIAL_INVALID' });
    ended.resolve();

    const another = callers(service, await cloud.token('ann'));
    const { committedSize, writerEpoch } = await another.images.resumeUpload({ taskId: task!.id });
    const offset = Number(committedSize);
    const rest = uploadFrames(bytes, { taskId: task!.id, offset, writerEpoch });
    expect((await another.images.uploadImage(rest)).complete).toBe(true);
  });
});
