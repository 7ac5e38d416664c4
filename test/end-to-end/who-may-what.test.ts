import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  fromJson,
  type DescMethod,
  type DescService,
  type JsonObject,
  type Message,
} from '@bufbuild/protobuf';
import { ConnectError, createClient, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { beforeAll, describe, expect, test } from 'vitest';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { QuotaService } from '../../gen/darkroom/v1/quota_service_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { Health } from '../../gen/grpc/health/v1/health_pb.ts';
import { ServerReflection } from '../../gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as ServerReflectionAlpha } from '../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import type { Role } from '../../src/access/caller.ts';
import { accessPolicy, type AccessRule } from '../../src/access/policy.ts';
import { createToken } from '../../src/identity/static-tokens/token-store.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startCloud } from '../support/openstack/cloud.ts';
import { cloudAdmin, hasKeystone } from '../support/openstack/keystone.ts';
import { connectTo, sending, startService } from '../support/running-service.ts';
import { makeDataDir, type ServiceProcess } from '../support/service-process.ts';
import { makeIssuer, type TokenIssuer } from '../support/token-issuer.ts';
import { createRequest, noSuchId, type ImageAndTask } from './bad-input/case.ts';
import { soundRequest } from './bad-input/sound-request.ts';

/** Every row of the policy is called by everybody, over real connections, and nobody gets further than it says. */

type Headers = Readonly<Record<string, string>>;

const services: readonly DescService[] = [
  ImageService,
  TaskService,
  QuotaService,
  Health,
  ServerReflection,
  ServerReflectionAlpha,
];
const methods = new Map<string, DescMethod>(
  services.flatMap(({ typeName, methods: all }) =>
    all.map((method) => [`${typeName}/${method.name}`, method] as const),
  ),
);
const rpcRows = Object.entries(accessPolicy).filter(([name]) => !name.includes(' '));
/** `* /*` is what there is while the service starts. */
const httpRows = Object.entries(accessPolicy).filter(
  ([name]) => name.includes(' ') && name !== '* /*',
);

let service: ServiceProcess;
let issuer: TokenIssuer;
let tokensFile: string;
/** Of the project garden. */
let queued: ImageAndTask;
let refusals: Readonly<Record<string, readonly [headers: Headers, reason: string]>>;
/** Callers of each role, by each kind of credential. */
let admitted: Readonly<Record<string, readonly [headers: Headers, role: Role]>>;
/** A member of the project garden. */
let member: Headers;
/** A member of another project. */
let stranger: Headers;

const accessReasons = new Set([
  'CREDENTIAL_MISSING',
  'CREDENTIAL_INVALID',
  'CREDENTIAL_EXPIRED',
  'ROLE_INSUFFICIENT',
  'PROJECT_NOT_ALLOWED',
]);

function bearer(token: string): Headers {
  return { authorization: `Bearer ${token}` };
}

beforeAll(async () => {
  const cleanUps = new CleanUps();
  const folder = await makeDataDir();
  cleanUps.defer(folder.remove);
  issuer = await makeIssuer();
  const keys = join(folder.path, 'keys.json');
  tokensFile = join(folder.path, 'tokens.json');
  await writeFile(keys, issuer.keySet);
  const nova = createToken(tokensFile, {
    user: 'nova',
    project: undefined,
    roles: ['service'],
    description: undefined,
    lifetimeMs: undefined,
  });
  const late = createToken(tokensFile, {
    user: 'late',
    project: 'garden',
    roles: ['member'],
    description: undefined,
    lifetimeMs: 1,
  });
  const openStack = hasKeystone() ? await openStackCallers(cleanUps.defer) : undefined;
  const running = await startService(
    {
      ...issuer.settings,
      ...openStack?.settings,
      DARKROOM_JWT_JWKS_FILE: keys,
      DARKROOM_TOKENS_FILE: tokensFile,
    },
    cleanUps.defer,
  );
  service = running.process;

  const of = async (role: string, project = 'garden'): Promise<Headers> =>
    bearer(await issuer.token({ claims: { roles: [role], project } }));
  const service1 = { ...bearer(nova.token), 'x-darkroom-project': 'garden' };
  member = await of('member');
  admitted = {
    reader: [await of('reader'), 'reader'],
    member: [member, 'member'],
    admin: [await of('admin'), 'admin'],
    service: [service1, 'service'],
    ...openStack?.admitted,
  };
  stranger = await of('member', 'orchard');
  const good = await issuer.token();
  const [head = '', , signature = ''] = good.split('.');
  const payload = Buffer.from(
    JSON.stringify({
      iss: issuer.issuer,
      aud: issuer.audience,
      sub: 'eve',
      exp: 9e9,
      project: 'garden',
      roles: ['admin'],
    }),
  ).toString('base64url');
  refusals = {
    'no credential': [{}, 'CREDENTIAL_MISSING'],
    'an empty header': [{ authorization: '' }, 'CREDENTIAL_INVALID'],
    'another scheme': [{ authorization: 'Basic YW5uOnNlY3JldA==' }, 'CREDENTIAL_INVALID'],
    'a token of no kind': [bearer('secret'), 'CREDENTIAL_INVALID'],
    'a token in form alone': [bearer('a.b.c'), 'CREDENTIAL_INVALID'],
    'a token without end': [bearer('a'.repeat(8000)), 'CREDENTIAL_INVALID'],
    'half a static token': [bearer(nova.token.slice(0, 30)), 'CREDENTIAL_INVALID'],
    'an unknown static token': [bearer(`dkr_0123456789ab_${'A'.repeat(43)}`), 'CREDENTIAL_INVALID'],
    'an expired static token': [bearer(late.token), 'CREDENTIAL_EXPIRED'],
    'an expired token': [bearer(await issuer.token({ expiresIn: -60 })), 'CREDENTIAL_EXPIRED'],
    'a token from the future': [
      bearer(await issuer.token({ claims: { nbf: Math.floor(Date.now() / 1000) + 600 } })),
      'CREDENTIAL_EXPIRED',
    ],
    'a token for ever': [bearer(await issuer.token({ expiresIn: null })), 'CREDENTIAL_INVALID'],
    'another audience': [
      bearer(await issuer.token({ claims: { aud: 'x' } })),
      'CREDENTIAL_INVALID',
    ],
    'another issuer': [bearer(await issuer.token({ claims: { iss: 'x' } })), 'CREDENTIAL_INVALID'],
    'no signature': [bearer(await issuer.token({ signature: 'none' })), 'CREDENTIAL_INVALID'],
    'a signature by the public key': [
      bearer(await issuer.token({ signature: 'by the public key' })),
      'CREDENTIAL_INVALID',
    ],
    'a signature of a stranger': [
      bearer(await issuer.token({ signature: 'of a stranger' })),
      'CREDENTIAL_INVALID',
    ],
    'an unknown key': [bearer(await issuer.token({ kid: 'unknown' })), 'CREDENTIAL_INVALID'],
    'other claims than were signed': [
      bearer(`${head}.${payload}.${signature}`),
      'CREDENTIAL_INVALID',
    ],
    nobody: [bearer(await issuer.token({ claims: { sub: '' } })), 'CREDENTIAL_INVALID'],
    'a project that is none': [
      bearer(await issuer.token({ claims: { project: 'a b' } })),
      'CREDENTIAL_INVALID',
    ],
    'no role': [await of('owner'), 'ROLE_INSUFFICIENT'],
    'no project': [
      bearer(await issuer.token({ claims: { project: undefined } })),
      'ROLE_INSUFFICIENT',
    ],
    'a service for no project': [bearer(nova.token), 'PROJECT_NOT_ALLOWED'],
    'a member for another project': [
      { ...(await of('member')), 'x-darkroom-project': 'orchard' },
      'PROJECT_NOT_ALLOWED',
    ],
    'an admin for another project': [
      { ...(await of('admin')), 'x-darkroom-project': 'orchard' },
      'PROJECT_NOT_ALLOWED',
    ],
    ...openStack?.refusals,
  };
  const { image, task } = await connectTo(service.url, member).images.createImage(
    createRequest({ name: 'queued' }),
  );
  queued = { imageId: image!.id, taskId: task!.id };
  return cleanUps.run;
}, 600_000);

/** Callers by a Keystone of their own, and those whom it does not know or who are of no project. */
async function openStackCallers(defer: (cleanUp: () => Promise<void>) => void): Promise<{
  readonly settings: Headers;
  readonly admitted: typeof admitted;
  readonly refusals: typeof refusals;
}> {
  const cloud = await startCloud(defer);
  const { keystone, projects } = cloud;
  const by = async (token: Promise<string>, more: Headers = {}): Promise<Headers> => ({
    'x-auth-token': await token,
    ...more,
  });
  const { user, password } = cloudAdmin;
  const revoked = await cloud.token('ada');
  await keystone.ask('DELETE', '/auth/tokens', undefined, { 'x-subject-token': revoked });
  const named = { 'x-darkroom-project': projects.garden };
  return {
    settings: cloud.settings,
    admitted: {
      'reader by Keystone': [await by(cloud.token('rita')), 'reader'],
      'member by Keystone': [await by(cloud.token('ann')), 'member'],
      'admin by Keystone': [await by(cloud.token('ada')), 'admin'],
      'service by Keystone': [await by(cloud.token('nova'), named), 'service'],
    },
    refusals: {
      'a revoked token of Keystone': [{ 'x-auth-token': revoked }, 'CREDENTIAL_INVALID'],
      'roles that a client gives itself': [
        { 'x-roles': 'admin', 'x-project-id': 'garden', 'x-identity-status': 'Confirmed' },
        'CREDENTIAL_MISSING',
      ],
      'no role by Keystone': [
        await by(cloud.token('nobody'), { 'x-roles': 'admin' }),
        'ROLE_INSUFFICIENT',
      ],
      'an admin without scope': [
        await by(keystone.token({ user, password })),
        'PROJECT_NOT_ALLOWED',
      ],
      'an admin of the system': [
        await by(keystone.token({ user, password, scope: { system: true } }), named),
        'PROJECT_NOT_ALLOWED',
      ],
      'a service by Keystone for no project': [
        await by(cloud.token('nova')),
        'PROJECT_NOT_ALLOWED',
      ],
      'an admin by Keystone for another project': [
        await by(cloud.token('ada'), { 'x-darkroom-project': projects.orchard }),
        'PROJECT_NOT_ALLOWED',
      ],
    },
  };
}

/** Of these Keystone is asked each time, which takes it long: each row is called with them over one protocol. */
const askedEachTime = new Set(['a token of no kind', 'a revoked token of Keystone']);

/** What each kind of caller is to be told. */
function expectedOf({ who }: AccessRule, protocol?: string): Record<string, string> {
  const isPublic = who === 'everybody';
  return Object.fromEntries([
    ...refusalsOver(protocol).map(([name, [, reason]]) => [name, isPublic ? 'admitted' : reason]),
    ...Object.entries(admitted).map(([name, [, role]]) => [
      name,
      isPublic || who.includes(role) ? 'admitted' : 'ROLE_INSUFFICIENT',
    ]),
  ]);
}

/** @param protocol of an RPC; undefined for plain HTTP. */
function refusalsOver(protocol?: string): [name: string, refusal: readonly [Headers, string]][] {
  const isLeftOut = protocol !== undefined && protocol !== 'gRPC';
  return Object.entries(refusals).filter(([name]) => !isLeftOut || !askedEachTime.has(name));
}

/** What they are told. @param call answers the reason of a refusal, or `admitted`. */
async function outcomesOf(
  call: (headers: Headers, isRefused: boolean) => Promise<string>,
  { who }: AccessRule,
  protocol?: string,
): Promise<Record<string, string>> {
  const outcomes: Record<string, string> = {};
  for (const [name, [headers]] of refusalsOver(protocol)) {
    outcomes[name] = await call(headers, who !== 'everybody');
  }
  for (const [name, [headers, role]] of Object.entries(admitted)) {
    outcomes[name] = await call(headers, who !== 'everybody' && !who.includes(role));
  }
  return outcomes;
}

type AnyClient = Record<string, (request: unknown) => Promise<unknown> | AsyncIterable<unknown>>;

/** Calls a method; of a stream of answers, the first is waited for. */
async function callRpc(
  transport: Transport,
  method: DescMethod,
  request: JsonObject,
): Promise<ConnectError | undefined> {
  const client = createClient(method.parent, transport) as unknown as AnyClient;
  const message = fromJson(method.input, request);
  const isStream =
    method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
  try {
    const answer = client[method.localName]!(isStream ? only(message) : message);
    if (Symbol.asyncIterator in answer) {
      for await (const _ of answer) {
        break;
      }
    }
    await answer;
    return undefined;
  } catch (error) {
    return ConnectError.from(error);
  }
}

async function* only(message: Message): AsyncGenerator<Message> {
  yield await Promise.resolve(message);
}

function reasonOf(error: ConnectError | undefined): string {
  const reason = error?.findDetails(ErrorInfoSchema)[0]?.reason ?? '';
  return accessReasons.has(reason) ? reason : 'admitted';
}

const protocols: Readonly<Record<string, (headers: Headers) => Transport>> = {
  gRPC: (headers) =>
    createGrpcTransport({ baseUrl: service.url, interceptors: [sending(headers)] }),
  'gRPC-Web': (headers) =>
    createGrpcWebTransport({
      baseUrl: service.url,
      httpVersion: '1.1',
      interceptors: [sending(headers)],
    }),
  'Connect over HTTP/1.1': (headers) =>
    createConnectTransport({
      baseUrl: service.url,
      httpVersion: '1.1',
      interceptors: [sending(headers)],
    }),
  'Connect over HTTP/2': (headers) =>
    createConnectTransport({
      baseUrl: service.url,
      httpVersion: '2',
      useBinaryFormat: true,
      useHttpGet: true,
      interceptors: [sending(headers)],
    }),
};

test('there is a row for each RPC, and an RPC for each row', () => {
  expect(rpcRows.map(([name]) => name).toSorted()).toEqual([...methods.keys()].toSorted());
});

describe.each(Object.entries(protocols))('over %s', (protocol, transportWith) => {
  // HTTP/1.1 has no streams of both directions.
  const possible = rpcRows.filter(
    ([name]) => protocol === 'gRPC' || methods.get(name)!.methodKind !== 'bidi_streaming',
  );

  test.each(possible)('%s is for those of whom the policy says it', async (name, rule) => {
    const method = methods.get(name)!;
    const call = async (headers: Headers, isRefused: boolean): Promise<string> => {
      // What is refused would change something, and what is admitted is not done for its emptiness.
      const request = isRefused && name.startsWith('darkroom.') ? soundRequest(method, queued) : {};
      return reasonOf(await callRpc(transportWith(headers), method, request));
    };
    expect(await outcomesOf(call, rule, protocol)).toEqual(expectedOf(rule, protocol));
  });

  const ofProject = possible.filter(([name]) => name.startsWith('darkroom.'));

  test.each(ofProject)('%s knows nothing of another project', async (name) => {
    const method = methods.get(name)!;
    const request = soundRequest(method, queued);
    const text = JSON.stringify(request);
    const others = await callRpc(transportWith(stranger), method, request);
    if (!text.includes(queued.imageId) && !text.includes(queued.taskId)) {
      // It names nothing, and so finds only what is its own.
      return;
    }
    const unknown = await callRpc(
      transportWith(stranger),
      method,
      soundRequest(method, { imageId: noSuchId, taskId: noSuchId }),
    );
    expect(unknown?.message).toMatch(/there is no|There is no/);
    expect(facts(others)).toEqual(facts(unknown));
  });
});

/** All that an error says, but for the id. */
function facts(error: ConnectError | undefined): unknown {
  const text = JSON.stringify([
    error?.code,
    error?.rawMessage,
    error?.findDetails(ErrorInfoSchema).map(({ reason, metadata }) => [reason, metadata]),
  ]);
  return text.replaceAll(queued.imageId, noSuchId).replaceAll(queued.taskId, noSuchId);
}

describe('over plain HTTP', () => {
  function requestOf(name: string, ids: ImageAndTask): [method: string, path: string] {
    const [method = '', path = ''] = name.split(' ');
    const id = path.includes('/images/') ? ids.imageId : ids.taskId;
    return [method === '*' ? 'PUT' : method, path.replace(':id', id).replace('/*', '/nothing')];
  }

  test.each(httpRows)('%s is for those of whom the policy says it', async (name, rule) => {
    const call = async (headers: Headers, isRefused: boolean): Promise<string> => {
      // What is refused would change something; what is admitted finds nothing to change.
      const ids = isRefused ? queued : { imageId: noSuchId, taskId: noSuchId };
      const [method, path] = requestOf(name, ids);
      const response = await fetch(service.url + path, { method, headers, redirect: 'manual' });
      const body = await response.text();
      if (response.status !== 401 && response.status !== 403) {
        return 'admitted';
      }
      expect(body).toContain('"message"');
      const challenge = response.headers.get('www-authenticate') ?? '';
      // OpenStack's errors have no reasons: what is said must do.
      const told: readonly (readonly [RegExp, string])[] = [
        [/has to know who calls/, 'CREDENTIAL_MISSING'],
        [/has expired|does not hold yet/, 'CREDENTIAL_EXPIRED'],
        [/get a new one/, 'CREDENTIAL_INVALID'],
        [/may not act for|has to say for which project/, 'PROJECT_NOT_ALLOWED'],
        [/the roles|names no project/, 'ROLE_INSUFFICIENT'],
      ];
      const reason = told.find(([words]) => words.test(body))?.[1] ?? body;
      expect(response.status, reason).toBe(reason.startsWith('CREDENTIAL') ? 401 : 403);
      expect(challenge.includes('Bearer '), reason).toBe(reason !== 'PROJECT_NOT_ALLOWED');
      return reason;
    };
    expect(await outcomesOf(call, rule)).toEqual(expectedOf(rule));
  });

  test.each(httpRows.filter(([name]) => name.startsWith('GET ') && name.includes(':id')))(
    '%s knows nothing of another project',
    async (name) => {
      const [, path] = requestOf(name, queued);
      const [, nowhere] = requestOf(name, { imageId: noSuchId, taskId: noSuchId });
      const others = await fetch(service.url + path, { headers: stranger });
      const unknown = await fetch(service.url + nowhere, { headers: stranger });
      expect(others.status).toBe(404);
      expect(unknown.status).toBe(404);
      const text = (await others.text())
        .replaceAll(queued.imageId, noSuchId)
        .replaceAll(queued.taskId, noSuchId);
      expect(text).toBe(await unknown.text());
    },
  );
});

test('what was refused was not done, and no token is in the log', async () => {
  const { images, tasks } = connectTo(service.url, member);
  const { image } = await images.getImage({ imageId: queued.imageId });
  const { task } = await tasks.getTask({ taskId: queued.taskId });
  expect(image).toMatchObject({ name: 'queued', tags: [] });
  expect(task).toMatchObject({ state: 1, revision: 1n, faultCount: 0 });
  expect((await images.listImages({})).images).toHaveLength(1);

  const strangers = connectTo(service.url, stranger);
  for (const one of (await strangers.images.listImages({})).images) {
    expect(one.projectId).toBe('orchard');
  }
  for (const one of (await strangers.tasks.listTasks({})).tasks) {
    expect(one.projectId).toBe('orchard');
  }

  const output = service.output();
  expect(output).not.toMatch(/dkr_[0-9a-f]{12}_/);
  expect(output).not.toContain('eyJ');
  const defects = service.log.filter(({ level }) => Number(level) >= 50);
  expect(defects).toEqual([]);
});
