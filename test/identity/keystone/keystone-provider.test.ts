import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import type { Identity } from '../../../src/identity/identity.ts';
import { KeystoneProvider } from '../../../src/identity/keystone/keystone-provider.ts';
import { identityIn, roleNames } from '../../../src/identity/keystone/token-body.ts';
import { makeDataDir } from '../../support/service-process.ts';

/** What the real Keystone does only when it is broken; how it is in health is told by `test/openstack/keystone.test.ts`. */

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
const roles = roleNames(['admin=admin', 'member=member', 'reader=reader', 'service=service']);

let server: Server;
let secretFile: string;
/** What is done when the service asks for a token of its own, and when it asks about another. */
let issue: Answer;
let validate: Answer;
let issued: number;
let validated: number;
let warnings: string[];

const issueOne: Answer = (_, response) =>
  response
    .writeHead(201, { 'x-subject-token': `own ${issued}` })
    .end(JSON.stringify({ token: { expires_at: inAnHour } }));

function tokenBody(facts: object = {}): string {
  const token = {
    user: { id: 'u1', name: 'ann' },
    project: { id: 'p1', name: 'garden' },
    roles: [{ name: 'member' }],
    expires_at: inAnHour,
    ...facts,
  };
  return JSON.stringify({ token });
}

const know: Answer = (_, response) => response.end(tokenBody());

beforeEach(async () => {
  issued = 0;
  validated = 0;
  warnings = [];
  issue = issueOne;
  validate = know;
  const folder = await makeDataDir();
  secretFile = join(folder.path, 'secret');
  await writeFile(secretFile, 'right\n');
  server = createServer((request, response) => {
    if (request.method === 'POST') {
      issued += 1;
      issue(request, response);
    } else {
      validated += 1;
      validate(request, response);
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return async () => {
    server.closeAllConnections();
    server.close();
    await folder.remove();
  };
});

function open({ cacheMs = 300_000, timeoutMs = 10_000 } = {}): KeystoneProvider {
  const { port } = server.address() as AddressInfo;
  const provider = new KeystoneProvider(
    {
      url: `http://127.0.0.1:${port}/v3/`,
      credentials: { kind: 'application credential', id: 'a1' },
      secretFile,
      roles,
      cacheMs,
      timeoutMs,
    },
    (message) => warnings.push(message),
  );
  onTestFinished(() => provider.close());
  return provider;
}

async function failureOf(provider: KeystoneProvider, token = 'any'): Promise<DarkroomError> {
  try {
    await provider.identify(token);
  } catch (error) {
    if (error instanceof DarkroomError) {
      return error;
    }
    throw error;
  }
  throw new Error('the token is known');
}

async function reasonOf(provider: KeystoneProvider, token = 'any'): Promise<string> {
  return (await failureOf(provider, token)).reason;
}

test('a token is asked about once for all who come at the same time, and the next time not at all', async () => {
  const provider = open();
  const identities = await Promise.all(
    Array.from({ length: 100 }, () => Promise.resolve(provider.identify('any'))),
  );
  expect(new Set(identities).size).toBe(1);
  expect(identities[0]).toMatchObject({ userId: 'u1', projectId: 'p1', roles: ['member'] });
  expect(provider.identify('any')).toBe(identities[0]);
  await provider.identify('other');
  expect({ issued, validated }).toEqual({ issued: 1, validated: 2 });
});

test('what was said of a token holds for as long as is set', async () => {
  const provider = open({ cacheMs: 300 });
  await provider.identify('any');
  await provider.identify('any');
  expect(validated).toBe(1);
  validate = (_, response) => response.writeHead(404).end();
  await expect
    .poll(async () => {
      const known = await Promise.resolve(provider.identify('any')).catch(
        (error: DarkroomError) => error.reason,
      );
      return known;
    })
    .toBe('CREDENTIAL_INVALID');
});

test('a token that is remembered expires all the same', async () => {
  const provider = open();
  validate = (_, response) =>
    response.end(tokenBody({ expires_at: new Date(Date.now() + 300).toISOString() }));
  await provider.identify('any');
  await expect
    .poll(() => {
      try {
        void provider.identify('any');
        return 'known';
      } catch (error) {
        return (error as DarkroomError).reason;
      }
    })
    .toBe('CREDENTIAL_EXPIRED');
  expect(validated).toBe(1);
});

describe('while Keystone is away', () => {
  test.each<[string, Answer]>([
    ['cannot be reached', (_, response) => response.destroy()],
    ['fails', (_, response) => response.writeHead(500).end()],
    ['is busy', (_, response) => response.writeHead(503).end()],
    ['answers nonsense', (_, response) => response.writeHead(200).end('<html>')],
    ['does not say who it is', (_, response) => response.end(tokenBody({ user: {} }))],
    ['sends too much', (_, response) => response.end(' '.repeat(2 * 1024 * 1024))],
    ['leads elsewhere', (_, response) => response.writeHead(302, { location: '/v3' }).end()],
    ['does not let the service ask', (_, response) => response.writeHead(403).end()],
  ])('as it %s, what is remembered goes on, and of the rest nothing is said', async (_, fail) => {
    const provider = open();
    const known = await provider.identify('known');
    validate = fail;
    expect(await failureOf(provider)).toMatchObject({
      reason: 'IDENTITY_UNAVAILABLE',
      retryDelayMs: expect.any(Number),
    });
    expect(await reasonOf(provider)).toBe('IDENTITY_UNAVAILABLE');
    expect(provider.identify('known')).toBe(known);
    expect(warnings).toEqual([expect.stringContaining('those that are remembered go on')]);
    validate = know;
    expect(await provider.identify('any')).toMatchObject({ userId: 'u1' });
  });

  test('nobody waits for longer than is set', async () => {
    const provider = open({ timeoutMs: 300 });
    validate = () => {};
    const began = performance.now();
    const reasons = await Promise.all(
      Array.from({ length: 100 }, (_, number) => reasonOf(provider, `token ${number}`)),
    );
    expect(new Set(reasons)).toEqual(new Set(['IDENTITY_UNAVAILABLE']));
    expect(performance.now() - began).toBeLessThan(5000);
    expect(validated).toBeLessThanOrEqual(16);
    validate = know;
    expect(await provider.identify('any')).toMatchObject({ userId: 'u1' });
  });

  test('a connection that breaks is tried again once', async () => {
    const provider = open();
    validate = (request, response) =>
      validated === 1 ? response.destroy() : know(request, response);
    expect(await provider.identify('any')).toMatchObject({ userId: 'u1' });
    expect(warnings).toEqual([]);
  });

  test('not more wait than there is room for', async () => {
    const provider = open({ timeoutMs: 1000 });
    validate = () => {};
    const reasons = await Promise.all(
      Array.from({ length: 1500 }, (_, number) => failureOf(provider, `token ${number}`)),
    );
    expect(reasons.filter(({ message }) => message.includes('too many wait'))).toHaveLength(500);
  });
});

describe('the token of the service itself', () => {
  test('is fetched anew, once for all, when Keystone does not know it any more', async () => {
    const provider = open();
    await provider.identify('first');
    // As after the keys of Keystone were exchanged.
    validate = (request, response) =>
      request.headers['x-auth-token'] === 'own 1'
        ? response.writeHead(401).end()
        : know(request, response);
    await Promise.all(
      Array.from({ length: 10 }, (_, number) =>
        Promise.resolve(provider.identify(`token ${number}`)),
      ),
    );
    expect(issued).toBe(2);
    expect(warnings).toEqual([]);
  });

  test('is no reason to refuse anybody, where Keystone takes none that it has issued', async () => {
    const provider = open();
    validate = (_, response) => response.writeHead(401).end();
    expect(await reasonOf(provider)).toBe('IDENTITY_UNAVAILABLE');
    expect(issued).toBe(2);
    expect(warnings).toEqual([expect.stringContaining('that it has just issued')]);
  });

  test('is not doubted where a token is refused of which Keystone speaks in the same way', async () => {
    const provider = open();
    validate = (request, response) =>
      request.headers['x-subject-token'] === 'without roles'
        ? response.writeHead(401).end()
        : know(request, response);
    expect(await reasonOf(provider, 'without roles')).toBe('CREDENTIAL_INVALID');
    expect(await reasonOf(provider, 'without roles')).toBe('CREDENTIAL_INVALID');
    expect(await provider.identify('any')).toMatchObject({ userId: 'u1' });
    expect(issued).toBe(1);
  });

  test('is not asked for again and again where it is refused, until the file of its secret changes', async () => {
    const provider = open();
    issue = (request, response) => {
      request.setEncoding('utf8').on('data', (body: string) => {
        if (body.includes('"secret":"right"')) {
          response.writeHead(401).end();
        } else {
          issueOne(request, response);
        }
      });
    };
    for (let time = 0; time < 5; time += 1) {
      expect(await reasonOf(provider)).toBe('IDENTITY_UNAVAILABLE');
    }
    expect(issued).toBe(1);
    expect(warnings).toEqual([expect.stringContaining('does not take the user and password')]);
    await rm(secretFile);
    await writeFile(secretFile, 'changed\n');
    await expect
      .poll(async () =>
        Promise.resolve(provider.identify('any')).then(
          ({ userId }: Identity) => userId,
          (error: DarkroomError) => error.reason,
        ),
      )
      .toBe('u1');
    expect(issued).toBe(2);
  });

  test('that is over soon is not used any more', async () => {
    const provider = open();
    issue = (_, response) =>
      response
        .writeHead(201, { 'x-subject-token': 'own' })
        .end(
          JSON.stringify({ token: { expires_at: new Date(Date.now() + 30_000).toISOString() } }),
        );
    await provider.identify('first');
    await provider.identify('second');
    expect(issued).toBe(2);
  });
});

test.each([
  ['gAAAAABpZ1_made-up', true],
  ['0123456789abcdef0123456789abcdef', true],
  [jwt({ openstack_methods: ['password'], sub: 'u1' }), true],
  [jwt({ sub: 'ann', iss: 'https://id.test' }), false],
  ['a.b.c', false],
])('whose a token is shows in its form: %s', (token, isIts) => {
  expect(open().takes(token)).toBe(isIts);
});

function jwt(payload: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'ES256' })}.${part(payload)}.AAAA`;
}

test('a token that is longer than any is not asked about', async () => {
  const provider = open();
  expect(() => provider.identify('a'.repeat(8000))).toThrow('longer than those of Keystone');
  expect(issued + validated).toBe(0);
});

describe('what Keystone says of a token', () => {
  function identityOf(facts: object, entries?: readonly string[]): Identity {
    return identityIn(tokenBody(facts), entries ? roleNames(entries) : roles, 0);
  }

  test.each([
    [['Admin', 'other'], ['admin=admin'], ['admin']],
    [
      ['_member_', 'operator'],
      ['_member_=reader', 'Operator = member'],
      ['reader', 'member'],
    ],
    [['a=b'], ['a=b=reader'], ['reader']],
    [['admin'], [], []],
    [['creator', 'load-balancer_member'], ['member=member'], []],
  ])('the roles %j are, by %j, %j', (names, entries, expected) => {
    const given = names.map((name) => ({ name }));
    expect(identityOf({ roles: given }, entries).roles).toEqual(expected);
  });

  test('an admin elsewhere than in the project of admins is a member', () => {
    const facts = { roles: [{ name: 'admin' }, { name: 'service' }] };
    expect(identityOf({ ...facts, is_admin_project: true }).roles).toEqual(['admin', 'service']);
    expect(identityOf({ ...facts, is_admin_project: false }).roles).toEqual(['member', 'service']);
  });

  test.each([
    [{ project: undefined }, 'no scope'],
    [{ project: undefined, domain: { id: 'default' } }, 'of a domain'],
    [{ project: undefined, system: { all: true } }, 'of the system'],
  ])('with %j it is of no project', (facts, why) => {
    expect(identityOf(facts)).toMatchObject({
      projectId: undefined,
      ofNoProject: expect.stringContaining(why),
    });
  });

  test.each([
    { project: { id: 'a b' } },
    { project: { id: '' } },
    { user: { id: '' } },
    { user: { id: 'a'.repeat(256) } },
    { expires_at: 'soon' },
    { expires_at: undefined },
    { roles: ['member'] },
    { roles: 'member' },
  ])('%j makes no sense', (facts) => {
    expect(() => identityOf(facts)).toThrow('is wrong');
  });
});
