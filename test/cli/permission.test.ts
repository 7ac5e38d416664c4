import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createToken } from '../../src/identity/static-tokens/token-store.ts';
import { startService } from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';
import { runCli } from './run-cli.ts';

test('who is not known, or may not, is told so and what to do', async () => {
  await using folder = await makeDataDir();
  const file = join(folder.path, 'tokens.json');
  const of = { description: undefined, lifetimeMs: undefined };
  const tokenFor = (project: string, role: 'reader' | 'member'): string =>
    createToken(file, { user: 'ann', project, roles: [role], ...of }).token;
  const reader = tokenFor('garden', 'reader');
  const tokenFile = join(folder.path, 'token');
  writeFileSync(tokenFile, `${tokenFor('garden', 'member')}\n`);
  const service = await startService({ DARKROOM_TOKENS_FILE: file });
  const endpoint = service.process.url;
  const run = (args: string[], more: Record<string, string> = {}) =>
    runCli(args, { environment: { HOME: folder.path, DARKROOM_ENDPOINT: endpoint, ...more } });

  const nobody = await run(['images']);
  expect(nobody).toMatchObject({ exitCode: 4, output: '' });
  expect(nobody.errors).toMatch(/\(CREDENTIAL_MISSING\)\nGive a token by DARKROOM_TOKEN/);

  const wrong = await run(['images'], { DARKROOM_TOKEN: 'no-token' });
  expect(wrong).toMatchObject({ exitCode: 4, output: '' });
  expect(wrong.errors).toContain('CREDENTIAL_INVALID');
  expect(wrong.errors).not.toContain('no-token');

  expect(await run(['images'], { DARKROOM_TOKEN: reader })).toMatchObject({ exitCode: 0 });
  expect(await run(['images', '--token-file', tokenFile])).toMatchObject({ exitCode: 0 });

  const other = await run(['images', '--project', 'other', '--token-file', tokenFile]);
  expect(other).toMatchObject({ exitCode: 4, output: '' });
  expect(other.errors).toContain('PROJECT_NOT_ALLOWED');
});
