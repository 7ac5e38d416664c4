import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { createToken, revokeToken } from '../../src/identity/static-tokens/token-store.ts';
import { restClient } from '../server/rest/rest-client.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startCloud, type Cloud } from '../support/openstack/cloud.ts';
import { hasKeystone } from '../support/openstack/keystone.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';
import { runMigration } from './fixtures.ts';
import { GlanceProxy } from './glance-proxy.ts';

const MiB = 1024 * 1024;
vi.setConfig({ hookTimeout: 120_000, testTimeout: 120_000 });

/** Makes an image with its bytes by the Image API. @returns its id. */
async function makeImage(url: string, token: string, bytes: Uint8Array): Promise<string> {
  const formats = { disk_format: 'raw', container_format: 'bare' };
  const { body } = await restClient(() => url, token)('POST', '/v2/images', formats);
  const id = String(body?.['id']);
  const { status } = await fetch(`${url}/v2/images/${id}/file`, {
    method: 'PUT',
    headers: { 'content-type': 'application/octet-stream', 'x-auth-token': token },
    body: Uint8Array.from(bytes),
  });
  expect(status).toBe(204);
  return id;
}

/** One Darkroom is the source here, which speaks the Image API and knows its callers by Keystone. */
describe.skipIf(!hasKeystone())('with a Keystone', () => {
  let cloud: Cloud;
  let source: RunningService;
  let target: RunningService;
  const bytes = randomBytes(MiB + 1);

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    cloud = await startCloud(cleanUps.defer);
    source = await startService(cloud.settings, cleanUps.defer);
    target = await startService(cloud.settings, cleanUps.defer);
    await cloud.register('image', `${source.process.url}/`);
    return cleanUps.run;
  });

  const environment = (password: string): Record<string, string> => ({
    OS_AUTH_URL: cloud.keystone.url,
    OS_USERNAME: 'ann',
    OS_PASSWORD: password,
    OS_PROJECT_NAME: 'garden',
    OS_USER_DOMAIN_NAME: 'Default',
    OS_PROJECT_DOMAIN_ID: 'default',
  });

  test('images are found by its catalog, and both services are called by its tokens', async () => {
    const token = await cloud.token('ann');
    const id = await makeImage(source.process.url, token, bytes);
    const args = ['--to', target.process.url, '--same-token'];
    const { code, output } = await runMigration(args, environment('password of ann')).ended;
    expect(output).toMatch(/^copied +1/m);
    expect(code).toBe(0);
    const { body } = await restClient(() => target.process.url, token)('GET', `/v2/images/${id}`);
    expect(body).toMatchObject({
      status: 'active',
      owner: cloud.projects.garden,
      size: bytes.length,
    });
  });

  test('a wrong password is told, and not shown', async () => {
    const args = ['--to', target.process.url, '--same-token'];
    const { code, errors } = await runMigration(args, environment('guessed')).ended;
    expect(code).toBe(1);
    expect(errors).toMatch(/Keystone answers 401/);
    expect(errors).not.toContain('guessed');
  });

  test('what is missing in the environment is told', async () => {
    const { OS_PASSWORD: _, ...rest } = environment('');
    const { code, errors } = await runMigration(['--to', target.process.url], rest).ended;
    expect(code).toBe(2);
    expect(errors).toMatch(/OS_AUTH_URL is set, and OS_PASSWORD is not/);
  });
});

test('a token that is taken back in the middle is replaced by the next one in its file', async () => {
  const folder = await makeDataDir();
  const cleanUps = new CleanUps();
  cleanUps.defer(folder.remove);
  try {
    const tokens = join(folder.path, 'tokens.json');
    const file = join(folder.path, 'token');
    const make = () =>
      createToken(tokens, {
        user: 'mover',
        project: 'default',
        roles: ['member'],
        description: undefined,
        lifetimeMs: undefined,
      });
    const first = make();
    writeFileSync(file, `${first.token}\n`);
    const source = await startService({}, cleanUps.defer);
    // A stream that is silent ends; the next call is by the new token.
    const settings = { DARKROOM_TOKENS_FILE: tokens, DARKROOM_STREAM_IDLE_TIMEOUT_MS: '2000' };
    const target = await startService(settings, cleanUps.defer);
    const bytes = randomBytes(8 * MiB);
    const id = await makeImage(source.process.url, 'any', bytes);
    const proxy = await GlanceProxy.open(source.process.url, { kind: 'hold', after: 5 * MiB });
    const args = ['--from', proxy.url, '--to', target.process.url, '--token-file', file];
    const running = runMigration(args, {});
    const asked = restClient(() => target.process.url, make().token);
    await expect
      .poll(async () => (await asked('GET', `/v2/images/${id}`)).body?.['status'], {
        timeout: 30_000,
      })
      .toBe('saving');
    writeFileSync(file, `${make().token}\n`);
    revokeToken(tokens, first.record.id);
    const { code, output } = await running.ended;
    expect(output).toMatch(/^copied +1/m);
    expect(code).toBe(0);
    const { body } = await asked('GET', `/v2/images/${id}`);
    expect(body).toMatchObject({ status: 'active', size: bytes.length });
  } finally {
    await cleanUps.run();
  }
});

test.each([
  [[], /--to <url>' not specified/],
  [['--to', 'images.example.com'], /--to has to be a URL .* not "images.example.com"/],
  [['--to', 'http://a', '--from', 'ftp://b'], /--from has to be a URL/],
  [['--to', 'http://a'], /say where Glance is: --from <url>, or OS_AUTH_URL/],
  [
    ['--to', 'http://a', '--from', 'http://b', '--parallel', '0'],
    /--parallel <n>' .* from 1 to 99/,
  ],
  [['--to', 'http://a', '--from', 'http://b', '--token-file', '/none'], /\/none cannot be read/],
  [['--to', 'http://a', '--from', 'http://b', '--token', 'x'], /--token/],
  [['--to', 'http://a', '--from', 'http://b', '--report', 'package.json'], /is no report of this/],
])('what makes no sense is said: %j', async (args, message) => {
  const { code, output, errors } = await runMigration(args, {}).ended;
  expect({ code, output }).toEqual({ code: 2, output: '' });
  expect(errors).toMatch(message);
});
