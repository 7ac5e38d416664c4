import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { accessPolicy, NoAccessRuleError, rulesOf } from '../../src/access/policy.ts';
import { startFakeServer } from '../server/fake-server.ts';
import { repository } from '../support/service-process.ts';
import { sectionOf } from '../support/readme.ts';

test('docs/security.md has the policy, row by row', async () => {
  const page = await readFile(join(repository, 'docs/security.md'), 'utf8');
  const rows = sectionOf(page, 'Who may do what')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.replaceAll(/ +/g, ' '));
  const expected = Object.entries(accessPolicy).map(
    ([name, { who, on }]) =>
      `| \`${name}\` | ${who === 'everybody' ? who : who.join(', ')} | ${on} |`,
  );
  expect(rows).toEqual(expected);
});

test('a rule for all methods of a place is for those that have none of their own', () => {
  const mine = { who: ['member'], on: 'mine' } as const;
  const rest = { who: ['admin'], on: 'the rest' } as const;
  const rules = rulesOf({ 'GET /a': mine, '* /a': rest }, ['GET /a', 'PUT /a']);
  expect([...rules]).toEqual([
    ['GET /a', mine],
    ['PUT /a', rest],
  ]);
});

test('what has no rule is not served: all of it is named', async () => {
  expect(() => rulesOf(accessPolicy, ['a.B/C', 'GET /d', 'GET /healthz'])).toThrow(
    new NoAccessRuleError(['a.B/C', 'GET /d']),
  );
  const server = await startFakeServer();
  const route = { method: 'GET', path: '/unheard-of', handle: () => {} } as const;
  expect(() => server.serve({ routes: () => {}, httpRoutes: [route] })).toThrow(/GET \/unheard-of/);
});
