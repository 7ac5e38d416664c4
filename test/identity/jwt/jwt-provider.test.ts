import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JWTPayload } from 'jose';
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { claimedIdentity } from '../../../src/identity/jwt/claims.ts';
import { JwtProvider } from '../../../src/identity/jwt/jwt-provider.ts';
import { RemoteKeys } from '../../../src/identity/jwt/remote-keys.ts';
import { VerifiedTokens } from '../../../src/identity/verified-tokens.ts';
import type { Identity } from '../../../src/identity/identity.ts';
import { makeIssuer, type TokenIssuer } from '../../support/token-issuer.ts';

const minIntervalMs = 400;
const claims = { user: 'sub', project: 'project', roles: 'roles', rolePrefix: '' };

let first: TokenIssuer;
let second: TokenIssuer;
let server: Server;
let url: string;
/** What is answered when keys are asked for, and how often they were. */
let answer: (response: ServerResponse) => void;
let asked: number;
let warnings: string[];

beforeAll(async () => {
  first = await makeIssuer('first');
  second = await makeIssuer('second', 'RS256');
});

beforeEach(async () => {
  asked = 0;
  warnings = [];
  answer = (response) => response.end(first.keySet);
  server = createServer((_, response) => {
    asked += 1;
    answer(response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
  return () => {
    server.closeAllConnections();
    server.close();
  };
});

function open(refreshMs = 3_600_000): JwtProvider {
  const provider = new JwtProvider(
    {
      issuer: first.issuer,
      audience: ['elsewhere', first.audience],
      algorithms: ['ES256', 'RS256'],
      clockSkewMs: 5000,
      claims,
    },
    (onChange) =>
      new RemoteKeys({
        url,
        minIntervalMs,
        refreshMs,
        onChange,
        onWarning: (message) => warnings.push(message),
      }),
  );
  onTestFinished(() => provider.close());
  return provider;
}

async function reasonOf(provider: JwtProvider, token: string): Promise<string> {
  try {
    await provider.identify(token);
    return 'known';
  } catch (error) {
    return (error as DarkroomError).reason;
  }
}

test('a token is known by its claims, and the second time at once', async () => {
  const provider = open();
  const token = await first.token({ claims: { roles: ['reader', 'owner'] } });
  const identity = await provider.identify(token);
  expect(identity).toMatchObject({ userId: 'ann', projectId: 'garden', roles: ['reader'] });
  expect(identity.expiresAtMs - Date.now()).toBeGreaterThan(3600_000);
  expect(provider.identify(token)).toBe(identity);
  expect(asked).toBe(1);
});

test('clocks may be apart by as much as is set', async () => {
  const provider = open();
  expect(await reasonOf(provider, await first.token({ expiresIn: -3 }))).toBe('known');
  expect(await reasonOf(provider, await first.token({ expiresIn: -6 }))).toBe('CREDENTIAL_EXPIRED');
});

test('a token that is remembered expires all the same', async () => {
  const provider = open();
  const token = await first.token({ expiresIn: -4 });
  expect(await reasonOf(provider, token)).toBe('known');
  await expect.poll(() => reasonOf(provider, token)).toBe('CREDENTIAL_EXPIRED');
});

describe('when the issuer changes its keys', () => {
  test('a token of the new one is known, and one of the withdrawn one is not any more', async () => {
    const provider = open();
    const old = await first.token();
    expect(await reasonOf(provider, old)).toBe('known');
    answer = (response) => response.end(second.keySet);
    expect(await reasonOf(provider, await second.token())).toBe('known');
    expect(await reasonOf(provider, old)).toBe('CREDENTIAL_INVALID');
  });

  test('a token that is remembered is known no more once its key is withdrawn', async () => {
    const provider = open(500);
    const token = await first.token();
    expect(await reasonOf(provider, token)).toBe('known');
    answer = (response) => response.end(second.keySet);
    await expect.poll(() => reasonOf(provider, token)).toBe('CREDENTIAL_INVALID');
  });

  test('it is asked seldom, whatever tokens are made up, and all get their answer', async () => {
    const provider = open();
    expect(await reasonOf(provider, await first.token())).toBe('known');
    const began = performance.now();
    const made = await Promise.all(
      Array.from({ length: 200 }, (_, number) => first.token({ kid: `made up ${number}` })),
    );
    const reasons = await Promise.all(made.map((token) => reasonOf(provider, token)));
    expect(new Set(reasons)).toEqual(new Set(['CREDENTIAL_INVALID']));
    expect(asked).toBe(2);
    expect(performance.now() - began).toBeLessThan(10_000);
  });
});

describe('while the issuer is away', () => {
  test('what is known goes on, and of what is not nothing is said', async () => {
    const provider = open();
    expect(await reasonOf(provider, await first.token())).toBe('known');
    answer = (response) => response.destroy();
    const failure = await Promise.resolve(provider.identify(await second.token())).catch(
      (error: DarkroomError) => error,
    );
    expect(failure).toMatchObject({ reason: 'IDENTITY_UNAVAILABLE', retryDelayMs: minIntervalMs });
    expect(await reasonOf(provider, await first.token({ claims: { sub: 'bob' } }))).toBe('known');
    expect(warnings).toEqual([expect.stringContaining('those that are known go on')]);

    answer = (response) => response.end(second.keySet);
    expect(await reasonOf(provider, await second.token())).toBe('known');
  });

  test.each([
    ['cannot be reached', (response: ServerResponse) => response.destroy()],
    ['fails', (response: ServerResponse) => response.writeHead(500).end()],
    ['answers nonsense', (response: ServerResponse) => response.end('<html>')],
    ['has no keys', (response: ServerResponse) => response.end('{"keys":[]}')],
    ['sends too much', (response: ServerResponse) => response.end(' '.repeat(2 * 1024 * 1024))],
    [
      'leads elsewhere',
      (response: ServerResponse) => response.writeHead(302, { location: '/elsewhere' }).end(),
    ],
  ])('from the beginning, as it %s, and comes back', async (_, fail) => {
    answer = fail;
    const provider = open();
    const token = await first.token();
    expect(await reasonOf(provider, token)).toBe('IDENTITY_UNAVAILABLE');
    expect(warnings).toEqual([expect.stringContaining('no token can be checked')]);
    answer = (response) => response.end(first.keySet);
    expect(await reasonOf(provider, token)).toBe('known');
  });
});

test('a token without the id of its key is tried with each', async () => {
  const keys = [first, second].flatMap(
    ({ keySet }) => (JSON.parse(keySet) as { keys: object[] }).keys,
  );
  const third = await makeIssuer('third');
  const [thirdKey] = (JSON.parse(third.keySet) as { keys: object[] }).keys;
  answer = (response) => response.end(JSON.stringify({ keys: [...keys, thirdKey] }));
  const provider = open();
  for (const issuer of [first, second, third]) {
    expect(await reasonOf(provider, await issuer.token({ kid: '' }))).toBe('known');
  }
  const stranger = await first.token({ kid: '', signature: 'of a stranger' });
  expect(await reasonOf(provider, stranger)).toBe('CREDENTIAL_INVALID');
});

describe('claims', () => {
  test.each([
    [{ sub: 'a', roles: 'reader admin' }, {}, ['reader', 'admin']],
    [{ sub: 'a', roles: ['darkroom:member', 'admin'] }, { rolePrefix: 'darkroom:' }, ['member']],
    [
      { sub: 'a', realm_access: { roles: ['member'] } },
      { roles: 'realm_access.roles' },
      ['member'],
    ],
    [
      { sub: 'a', 'https://x.test/roles': ['member'] },
      { roles: 'https://x.test/roles' },
      ['member'],
    ],
    [{ sub: 'a', roles: { member: true } }, {}, []],
    [{ sub: 'a', roles: [['member'], null, 1] }, {}, []],
    [{ sub: 'a' }, { roles: '__proto__.roles' }, []],
  ])('%j, read by %j, are the roles %j', (payload, names, roles) => {
    expect(claimedIdentity(payload, { ...claims, ...names })).toEqual({
      userId: 'a',
      projectId: undefined,
      roles,
    });
  });

  test.each<JWTPayload>([
    {},
    { sub: 1 as unknown as string },
    { sub: '' },
    { sub: 'a'.repeat(256) },
    { sub: 'a', project: 1 },
  ])('%j says nobody', (payload: JWTPayload) => {
    expect(() => claimedIdentity(payload, claims)).toThrow(/claim (sub|project)/);
  });
});

describe('tokens that were verified', () => {
  const identity: Identity = {
    userId: 'a',
    projectId: 'p',
    roles: [],
    expiresAtMs: Number.POSITIVE_INFINITY,
    isRevoked: false,
  };

  test('are so once for all who come at the same time, and anew after they were forgotten', async () => {
    const tokens = new VerifiedTokens();
    let verified = 0;
    const verify = async (): Promise<Identity> => {
      await Promise.resolve();
      verified += 1;
      return identity;
    };
    await Promise.all([tokens.identify('a', verify), tokens.identify('a', verify)]);
    expect(verified).toBe(1);
    const late = tokens.identify('b', verify);
    tokens.forget();
    await late;
    await tokens.identify('b', verify);
    await tokens.identify('a', verify);
    expect(verified).toBe(4);
  });

  test('are not remembered where they are wrong, nor without bound', async () => {
    const tokens = new VerifiedTokens();
    await expect(
      Promise.resolve(tokens.identify('a', () => Promise.reject(new Error('wrong')))),
    ).rejects.toThrow('wrong');
    expect(await tokens.identify('a', () => Promise.resolve(identity))).toBe(identity);
    for (let number = 0; number < 10_000; number += 1) {
      await tokens.identify(`b${number}`, () => Promise.resolve(identity));
    }
    let again = false;
    await tokens.identify('a', () => {
      again = true;
      return Promise.resolve(identity);
    });
    expect(again).toBe(true);
  });
});
