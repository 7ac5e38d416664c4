import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { CleanUps } from '../support/clean-ups.ts';
import { startCloud, type Account } from '../support/openstack/cloud.ts';
import { hasKeystone } from '../support/openstack/keystone.ts';
import { hasTempest, runTempest, type TempestOutcome } from '../support/openstack/tempest.ts';
import { startService } from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';

const page = 'docs/tempest.md';

const accounts = (['member', 'member', 'member', 'member', 'admin', 'admin'] as const).map(
  (role, number): Account => ({
    user: `tempest-${number}`,
    password: `password of tempest-${number}`,
    project: `project-${number}`,
    role,
  }),
);

/** The rows of the page, in their order: the name of a test, or the beginning of some with `*`, and what is said of it. */
async function rows(): Promise<readonly (readonly [name: string, result: string])[]> {
  const text = await readFile(page, 'utf8');
  const [, table = ''] = text.split('<!-- tempest:');
  return table
    .split('\n')
    .map((line) => /^\| `([^`]+)` +\| (.*?) +\|$/.exec(line))
    .flatMap((found) => (found === null ? [] : [[found[1] ?? '', found[2] ?? ''] as const]));
}

/** As the page says it: `passed`, or that it did not. */
function said(outcome: TempestOutcome): string {
  return outcome.kind === 'passed' ? 'passed' : `not passed: ${outcome.why.trim().slice(-1500)}`;
}

/** As a cloud has them: Tempest takes the first type of resources that there is. */
async function offerResourceTypes(url: string, token: string): Promise<void> {
  const answer = await fetch(`${url}/v2/metadefs/namespaces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-auth-token': token },
    body: JSON.stringify({
      namespace: 'OS::Compute::Watchdog',
      visibility: 'public',
      resource_type_associations: [{ name: 'OS::Glance::Image' }],
    }),
  });
  expect(answer.status).toBe(201);
}

/** What OpenStack tests image services with. */
describe.skipIf(!hasKeystone() || !hasTempest())('Tempest', () => {
  let outcomes: ReadonlyMap<string, TempestOutcome>;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    const cloud = await startCloud(cleanUps.defer);
    const source = createServer((_, response) => response.end(Buffer.alloc(65_536, 'source')));
    source.listen(0, '127.0.0.1');
    await once(source, 'listening');
    cleanUps.defer(async () => void source.close());
    const { port } = source.address() as AddressInfo;
    const service = await startService(
      {
        ...cloud.settings,
        // As those of OpenStack's own service do.
        DARKROOM_ADMINS_ACT_IN: 'any-project',
        DARKROOM_IMPORT_SPECIAL_ADDRESSES: '127.0.0.1',
        DARKROOM_IMPORT_PORTS: `80,${port}`,
        // One of its sources is nowhere.
        DARKROOM_IMPORT_MAX_TRIES: '2',
      },
      cleanUps.defer,
    );
    await cloud.register('image', service.process.url);
    await cloud.register('image_remote', (await service.another()).process.url);
    for (const account of accounts) {
      await cloud.admit(account);
    }
    const ada = await cloud.token('ada');
    await offerResourceTypes(service.process.url, ada);
    const folder = await makeDataDir();
    cleanUps.defer(folder.remove);
    outcomes = await runTempest(folder.path, {
      keystoneUrl: cloud.keystone.url,
      accounts,
      httpImage: `http://127.0.0.1:${port}/image`,
      alternateService: 'image_remote',
    });
    return cleanUps.run;
  }, 1_200_000);

  test('says of each of its tests what the page says', async () => {
    const all = await rows();
    const ofPage = (name: string): string | undefined =>
      all.find(
        ([row]) => row === name || (row.endsWith('*') && name.startsWith(row.slice(0, -1))),
      )?.[1];
    const differing = [...outcomes].flatMap(([name, outcome]) => {
      const expected = ofPage(name);
      const agrees =
        expected !== undefined && (expected === 'passed') === (outcome.kind === 'passed');
      return agrees ? [] : [`${name}: the page says ${expected}, Tempest says ${said(outcome)}`];
    });
    expect(differing).toEqual([]);
    const names = [...outcomes.keys()];
    const unknown = all.filter(([row]) =>
      row.endsWith('*')
        ? !names.some((name) => name.startsWith(row.slice(0, -1)))
        : !names.includes(row),
    );
    expect(unknown).toEqual([]);
  });
});
