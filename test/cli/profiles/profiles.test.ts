import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { connectionOf } from '../../../src/cli/profiles/connection.ts';
import { makeDataDir } from '../../support/service-process.ts';
import { runCli, type CliResult } from '../run-cli.ts';

let home: string;
let environment: Record<string, string>;
let path: string;

beforeEach(async () => {
  const folder = await makeDataDir();
  home = folder.path;
  environment = { HOME: home };
  path = join(home, '.config/darkroom/profiles.json');
  return folder.remove;
});

function profile(args: readonly string[], input?: string): Promise<CliResult> {
  return runCli(['profile', ...args], { environment, ...(input === undefined ? {} : { input }) });
}

test('a profile is kept for its owner alone, and no command tells its token', async () => {
  const added = await profile(
    ['add', 'prod', '--endpoint', 'https://images.test', '--token-stdin'],
    'secret-token\n',
  );
  expect(added).toMatchObject({ exitCode: 0, errors: '' });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
  expect(readdirSync(dirname(path))).toEqual(['profiles.json']);
  for (const args of [['list'], ['list', '--json']]) {
    const { output } = await profile(args);
    expect(output).toContain('https://images.test');
    expect(output).not.toContain('secret-token');
  }
  expect(connectionOf({}, environment)).toMatchObject({
    endpoint: 'https://images.test',
    token: 'secret-token',
  });
});

test('the first one is used, then the one that is told, and none once that is removed', async () => {
  await profile(['add', 'one', '--endpoint', 'http://127.0.0.1:1']);
  await profile(['add', 'two', '--endpoint', 'http://127.0.0.1:2']);
  expect(connectionOf({}, environment).endpoint).toBe('http://127.0.0.1:1');
  await profile(['use', 'two']);
  expect((await profile(['list'])).output).toMatch(/^\* +two/m);
  expect(connectionOf({}, environment).endpoint).toBe('http://127.0.0.1:2');
  expect(connectionOf({ profile: 'one' }, environment).endpoint).toBe('http://127.0.0.1:1');
  await profile(['remove', 'two']);
  expect(connectionOf({}, environment).endpoint).toBe('http://127.0.0.1:8080');
  expect(JSON.parse((await profile(['list', '--json'])).output)).toHaveLength(1);
});

describe('a token goes where it belongs', () => {
  beforeEach(() =>
    profile(['add', 'prod', '--endpoint', 'https://prod.test', '--token-stdin'], 'of-prod'),
  );

  test.each([
    [{}, {}, 'https://prod.test', 'of-prod'],
    [{ endpoint: 'https://elsewhere.test' }, {}, 'https://elsewhere.test', undefined],
    [{ endpoint: 'http://prod.test' }, {}, 'http://prod.test', undefined],
    [{ endpoint: 'https://prod.test:8443' }, {}, 'https://prod.test:8443', undefined],
    [{ endpoint: 'https://prod.test/' }, {}, 'https://prod.test', 'of-prod'],
    [{}, { DARKROOM_ENDPOINT: 'https://env.test' }, 'https://env.test', undefined],
    [{}, { DARKROOM_TOKEN: 'of-env' }, 'https://prod.test', 'of-env'],
    [
      { profile: 'prod' },
      { DARKROOM_ENDPOINT: 'https://env.test', DARKROOM_TOKEN: 'of-env' },
      'https://prod.test',
      'of-prod',
    ],
    [{}, { DARKROOM_PROFILE: 'prod' }, 'https://prod.test', 'of-prod'],
    [{}, { DARKROOM_TOKEN: '' }, 'https://prod.test', 'of-prod'],
  ])('%j with %j: to %s goes %s', (options, variables, endpoint, token) => {
    expect(connectionOf(options, { ...environment, ...variables })).toMatchObject({
      endpoint,
      token,
    });
  });
});

test.each([
  [['add', 'a b', '--endpoint', 'http://x.test'], /1 to 64 letters/],
  [['add', 'a', '--endpoint', 'images.test'], /--endpoint has to be an address/],
  [['add', 'a', '--endpoint', 'tcp://10.0.0.7:8080'], /--endpoint has to be an address/],
  [['add', 'a', '--endpoint', 'http://u:p@x.test'], /--endpoint has to be an address/],
  [['add', 'a', '--endpoint', 'http://x.test/path'], /--endpoint has to be an address/],
  [['add', 'a', '--endpoint', 'http://x.test', '--token-file', '/none'], /cannot be read/],
  [['add', 'a', '--endpoint', 'http://x.test', '--cert-file', '/etc/hostname'], /go together/],
  [['add', 'a', '--endpoint', 'http://x.test', '--token-stdin'], /empty, or has blanks/],
  [['use', 'none'], /darkroom profile add makes one/],
  [['remove', 'none'], /no profile "none"/],
])('what makes no sense is said: %j', async (args, message) => {
  const { exitCode, output, errors } = await profile(args, 'two words');
  expect({ exitCode, output }).toEqual({ exitCode: 2, output: '' });
  expect(errors).toMatch(message);
});

test.each([
  'not JSON',
  '[]',
  '{"profiles": {"a": {}}}',
  '{"profiles": {"a": {"endpoint": "x", "token": 1}}}',
])('a file that is spoilt is named, and left as it is: %s', async (text) => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  const { exitCode, errors } = await profile(['list']);
  expect(exitCode).toBe(2);
  expect(errors).toContain(path);
  expect((await profile(['add', 'a', '--endpoint', 'http://x.test'])).exitCode).toBe(2);
  expect(readFileSync(path, 'utf8')).toBe(text);
});

test('a token that others may read, or that travels in the clear, is warned of', async () => {
  await profile(['add', 'a', '--endpoint', 'http://images.test', '--token-stdin'], 'secret');
  expect(connectionOf({}, environment).warnings).toEqual([
    'the token goes to http://images.test in the clear: use https',
  ]);
  chmodSync(path, 0o644);
  expect(connectionOf({}, environment).warnings[0]).toContain(`chmod 600 ${path}`);
});

test('a token that cannot be in a header is refused without telling it', async () => {
  const token = 'abc\r\nx-darkroom-project: other';
  const { exitCode, errors } = await runCli(['images'], {
    environment: { ...environment, DARKROOM_TOKEN: token },
  });
  expect(exitCode).toBe(2);
  expect(errors).toContain('DARKROOM_TOKEN');
  expect(errors).not.toContain('abc');
});

test('XDG_CONFIG_HOME says where profiles are, if it is a whole path', async () => {
  environment['XDG_CONFIG_HOME'] = join(home, 'elsewhere');
  await profile(['add', 'a', '--endpoint', 'http://x.test']);
  expect(readdirSync(join(home, 'elsewhere/darkroom'))).toEqual(['profiles.json']);
  environment['XDG_CONFIG_HOME'] = 'elsewhere';
  expect((await profile(['list'])).errors).toContain('There are no profiles');
});
