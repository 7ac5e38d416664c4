import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import type { Authenticator } from '../../src/identity/authenticator.ts';
import { openIdentities } from '../../src/identity/identity-providers.ts';
import { createToken } from '../../src/identity/static-tokens/token-store.ts';
import { makeIssuer, type TokenIssuer } from '../support/token-issuer.ts';

let issuer: TokenIssuer;
let authenticator: Authenticator;
let staticToken: string;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'darkroom-identity-'));
  issuer = await makeIssuer();
  const jwksFile = join(folder, 'keys.json');
  const tokensFile = join(folder, 'tokens.json');
  await writeFile(jwksFile, issuer.keySet);
  staticToken = createToken(tokensFile, {
    user: 'ann',
    project: 'garden',
    roles: ['admin'],
    description: undefined,
    lifetimeMs: undefined,
  }).token;
  const identities = openIdentities(
    {
      tokensFile,
      certificatesFile: undefined,
      jwtIssuer: issuer.issuer,
      jwtAudience: [issuer.audience],
      jwtAlgorithms: ['ES256', 'EdDSA'],
      jwtClockSkewMs: 0,
      jwtUserClaim: 'sub',
      jwtProjectClaim: 'project',
      jwtRolesClaim: 'roles',
      jwtRolePrefix: undefined,
      jwksUrl: undefined,
      jwksFile,
      keystoneUrl: undefined,
      keystoneUser: undefined,
      keystoneApplicationCredential: undefined,
      keystoneSecretFile: undefined,
      keystoneUserDomain: 'Default',
      keystoneProject: 'service',
      keystoneProjectDomain: 'Default',
      keystoneRoles: [],
      keystoneCacheMs: 0,
      keystoneTimeoutMs: 1000,
    },
    () => {},
  );
  authenticator = identities.authenticator!;
  return async () => {
    identities.close();
    await rm(folder, { recursive: true });
  };
});

/** What becomes of an authorization header: whom it stands for, or the reason why it stands for nobody. */
async function outcomeOf(authorization: string): Promise<string> {
  try {
    const { userId } = await authenticator.identify({
      authorization,
      certificateNames: () => undefined,
    });
    return `known: ${userId}`;
  } catch (error) {
    if (!(error instanceof DarkroomError)) {
      throw error;
    }
    const secret = authorization.replace(/^bearer +/i, '');
    if (secret.length > 8) {
      expect(error.message).not.toContain(secret);
    }
    return error.reason;
  }
}

const refusals = ['CREDENTIAL_INVALID', 'CREDENTIAL_EXPIRED'];

const json = fc.json({ maxDepth: 4 }).map((text) => Buffer.from(text).toString('base64url'));
const header = fc
  .record(
    {
      alg: fc.oneof(fc.constantFrom('ES256', 'EdDSA', 'none', 'HS256', 'RS256'), fc.jsonValue()),
      kid: fc.oneof(fc.constantFrom('first', '', '../../keys'), fc.jsonValue()),
      typ: fc.jsonValue(),
      crit: fc.oneof(fc.constant(['exp']), fc.jsonValue()),
      b64: fc.jsonValue(),
      jwk: fc.jsonValue(),
      jku: fc.webUrl(),
      x5c: fc.jsonValue(),
      zip: fc.constant('DEF'),
    },
    { requiredKeys: ['alg'] },
  )
  .map((value) => Buffer.from(JSON.stringify(value)).toString('base64url'));

const texts = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.string().map((text) => `Bearer ${text}`),
  fc.base64String().map((text) => `bearer   ${text}`),
  fc.tuple(json, json, fc.base64String()).map((parts) => `Bearer ${parts.join('.')}`),
  fc.tuple(header, json, fc.base64String()).map((parts) => `Bearer ${parts.join('.')}`),
  fc.tuple(header, json).map((parts) => `Bearer ${parts.join('.')}.`),
  fc.stringMatching(/^dkr_[\w-]*$/).map((text) => `Bearer ${text}`),
  fc.nat({ max: 40_000 }).map((length) => `Bearer ${'x.'.repeat(length)}`),
);

test('whatever is sent as a credential stands for nobody, in the words of the contract', async () => {
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      expect(refusals).toContain(await outcomeOf(text));
    }),
    { numRuns: 2000 },
  );
});

test('a credential in which one character is another stands for nobody', async () => {
  const tokens = [staticToken, await issuer.token()];
  for (const token of tokens) {
    expect(await outcomeOf(`Bearer ${token}`)).toBe('known: ann');
  }
  const characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...tokens),
      fc.nat(),
      fc.nat({ max: 63 }).map((index) => characters.charAt(index)),
      async (token, position, character) => {
        // The last character of base64url has bits that count for nothing.
        const at = position % (token.length - 1);
        fc.pre(token[at] !== character);
        const changed = `${token.slice(0, at)}${character}${token.slice(at + 1)}`;
        expect(refusals).toContain(await outcomeOf(`Bearer ${changed}`));
      },
    ),
    { numRuns: 1000 },
  );
});
