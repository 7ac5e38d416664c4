import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { hasHash, parseToken } from '../../src/identity/static-tokens/token-text.ts';
import { listTokens } from '../../src/identity/static-tokens/token-store.ts';
import { runProgram } from '../support/programs.ts';
import { makeDataDir } from '../support/service-process.ts';
import { runCli, type CliResult } from './run-cli.ts';

const program = 'src/cli/darkroom.mjs';

let file: string;

beforeEach(async () => {
  const folder = await makeDataDir();
  file = join(folder.path, 'tokens.json');
  return folder.remove;
});

function run(...args: string[]): Promise<CliResult> {
  return runCli(['token', ...args], { environment: { DARKROOM_TOKENS_FILE: file } });
}

test('create prints the token alone, so that a script can take it, and says the rest besides', async () => {
  const { exitCode, output, errors } = await run(
    'create',
    '--user',
    'ann',
    '--project',
    'garden',
    '--role',
    'reader',
    '--role',
    'service',
    '--expires-in',
    '90d',
    '--description',
    'for the nightly build',
  );
  expect(exitCode).toBe(0);
  const { id, secret } = parseToken(output.trimEnd())!;
  const [record] = listTokens(file);
  expect(record).toMatchObject({
    id,
    user: 'ann',
    project: 'garden',
    roles: ['reader', 'service'],
    description: 'for the nightly build',
  });
  expect(hasHash(secret, Buffer.from(record!.sha256, 'hex'))).toBe(true);
  expect(Date.parse(record!.expireTime!) - Date.parse(record!.createTime)).toBe(90 * 24 * 3600_000);
  expect(errors).toContain(`darkroom token revoke ${id}`);
});

test('list shows what there is, and nothing that could be used', async () => {
  const { output: token } = await run('create', '--user', 'nova', '--role', 'service');
  const { id, secret } = parseToken(token.trimEnd())!;
  const shown = await run('list');
  expect(shown.output).toMatch(new RegExp(`^${id} +nova +- +service +\\S+ +never$`, 'm'));
  const json = await run('list', '--json');
  expect(JSON.parse(json.output)).toEqual([expect.objectContaining({ id, user: 'nova' })]);
  for (const { output } of [shown, json]) {
    expect(output).not.toContain(secret);
    expect(output).not.toContain(listTokens(file)[0]!.sha256);
  }
});

test('revoke takes one back', async () => {
  await run('create', '--user', 'ann', '--project', 'p', '--role', 'member');
  await run('create', '--user', 'bob', '--project', 'p', '--role', 'member');
  const [ann, bob] = listTokens(file);
  expect(await run('revoke', ann!.id)).toMatchObject({
    exitCode: 0,
    output: `Revoked ${ann!.id}.\n`,
  });
  expect(listTokens(file)).toEqual([bob]);
  expect(await run('revoke', ann!.id)).toMatchObject({
    exitCode: 3,
    errors: expect.stringContaining('there is no token'),
  });
});

test.each([
  [[], /Usage: darkroom token .*create/s],
  [['create'], /--user <name>' not specified/],
  [['create', '--user', '', '--role', 'service'], /--user is empty/],
  [['create', '--user', 'ann', '--role', 'member'], /--project is missing/],
  [['create', '--user', 'ann', '--project', 'p'], /--role <role>' not specified/],
  [['create', '--user', 'ann', '--project', 'p', '--role', 'root'], /not "root"/],
  [['create', '--user', 'ann', '--project', 'a b', '--role', 'member'], /without blanks/],
  [['create', '--user', 'a', '--project', 'p', '--role', 'member', '--expires-in', '1y'], /7d/],
  [['create', '--user', 'ann', '--role', 'service', '--usr', 'ann'], /--usr/],
  [['revoke'], /missing required argument 'id'/],
  [['revoke', 'a', 'b'], /too many arguments/],
])('what makes no sense is said, and changes nothing: %j', async (args, message) => {
  const { exitCode, output, errors } = await run(...args);
  expect(exitCode).toBe(2);
  expect(output).toBe('');
  expect(errors).toMatch(message);
  expect(existsSync(file)).toBe(false);
});

test.each([
  [() => join(file, 'tokens.json'), /tokens\.json\.lock cannot be locked .* folder has to be/],
  [() => dirname(file), /cannot be used: EISDIR/],
])('a file that cannot be had is named, with what to do: %#', async (path, message) => {
  const args = ['token', 'create', '--file', path(), '--user', 'a', '--role', 'service'];
  expect(await runCli(args)).toMatchObject({
    exitCode: 1,
    output: '',
    errors: expect.stringMatching(message),
  });
});

test('without a file it asks for one', async () => {
  expect(await runCli(['token', 'list'])).toMatchObject({
    exitCode: 2,
    errors: expect.stringContaining('DARKROOM_TOKENS_FILE'),
  });
});

test('a file that is no token file is left as it is', async () => {
  const other = join(dirname(file), 'notes.txt');
  writeFileSync(other, 'buy milk');
  expect(
    await runCli(['token', 'create', '--file', other, '--user', 'a', '--role', 'service']),
  ).toMatchObject({ exitCode: 1 });
  expect(readFileSync(other, 'utf8')).toBe('buy milk');
});

describe('where DARKROOM_AUDIT_FILE is set', () => {
  const audited = (...args: string[]): Promise<CliResult> =>
    runCli(['token', ...args], {
      environment: { DARKROOM_TOKENS_FILE: file, DARKROOM_AUDIT_FILE: audit() },
    });
  const audit = (): string => join(dirname(file), 'audit.jsonl');
  const lines = (): unknown[] =>
    readFileSync(audit(), 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as unknown);

  test('it is recorded who made and revoked which token, and nothing that could be used', async () => {
    const made = await audited(
      'create',
      '--user',
      'ann',
      '--project',
      'garden',
      '--role',
      'member',
    );
    const { id, secret } = parseToken(made.output.trimEnd())!;
    const { sha256 } = listTokens(file)[0]!;
    await audited('list');
    await audited('revoke', id);
    const of = { user: userInfo().username, peer: 'local', token_id: id, token_user: 'ann' };
    const line = { ...of, code: 'OK', token_project: 'garden', token_roles: ['member'] };
    expect(lines()).toEqual([
      expect.objectContaining({ ...line, call: 'darkroom token create', process: process.pid }),
      expect.objectContaining({ ...line, call: 'darkroom token revoke' }),
    ]);
    expect(readFileSync(audit(), 'utf8')).not.toContain(secret);
    expect(readFileSync(audit(), 'utf8')).not.toContain(sha256);
  });

  test('what is not done is not recorded', async () => {
    await audited('create', '--user', 'ann', '--project', 'a b', '--role', 'member');
    await audited('revoke', '0123456789ab');
    expect(existsSync(audit()) ? lines() : []).toEqual([]);
  });

  test('what cannot be recorded is not done', async () => {
    const { exitCode, output, errors } = await runCli(
      ['token', 'create', '--user', 'nova', '--role', 'service'],
      { environment: { DARKROOM_TOKENS_FILE: file, DARKROOM_AUDIT_FILE: join(file, 'none') } },
    );
    expect({ exitCode, output }).toEqual({ exitCode: 1, output: '' });
    expect(errors).toMatch(/the audit log .* cannot be opened .* set DARKROOM_AUDIT_FILE/);
    expect(existsSync(file)).toBe(false);
  });

  test.runIf(existsSync('/dev/full'))(
    'and where the disk is full just then, that is said',
    async () => {
      const { exitCode, output, errors } = await runCli(
        ['token', 'create', '--user', 'nova', '--role', 'service'],
        { environment: { DARKROOM_TOKENS_FILE: file, DARKROOM_AUDIT_FILE: '/dev/full' } },
      );
      expect(exitCode).toBe(0);
      expect(parseToken(output.trimEnd())).toBeDefined();
      expect(errors).toMatch(
        /\/dev\/full could not be written: this is done, and not recorded there/,
      );
    },
  );
});

test('of processes that create at the same time, none loses what another made', async () => {
  const users = Array.from({ length: 6 }, (_, number) => `user-${number}`);
  const made = await Promise.all(
    users.map((user) =>
      runProgram(process.execPath, [
        program,
        'token',
        'create',
        '--file',
        file,
        '--user',
        user,
        '--project',
        'p',
        '--role',
        'member',
      ]),
    ),
  );
  expect(made.map(({ code }) => code)).toEqual(users.map(() => 0));
  expect(
    listTokens(file)
      .map(({ user }) => user)
      .toSorted(),
  ).toEqual(users);
});
