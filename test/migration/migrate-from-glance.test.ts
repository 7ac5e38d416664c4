import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { RestClient } from '../server/rest/rest-client.ts';
import { hasProgram, makeQcow2Image } from '../support/disk-images.ts';
import { hasGlance } from '../support/glance.ts';
import { clouds, makeInGlance, reported, startMigration } from './fixtures.ts';

const MiB = 1024 * 1024;

/** Against OpenStack's own Glance: an operator copies what is in it. */
describe.skipIf(!hasGlance())('darkroom migrate-from-glance', () => {
  const both = clouds();
  const raw = randomBytes(3 * MiB + 5);
  const ids: Record<string, string> = {};
  let report: string;

  beforeAll(async () => {
    const { ofGlance, folder, tokenFile, token } = both();
    report = join(folder, 'report.json');
    writeFileSync(tokenFile, `${token}\n`);
    ids['raw'] = await makeInGlance(
      both(),
      {
        name: 'web 1',
        visibility: 'shared',
        tags: ['b', 'a'],
        min_disk: 2,
        min_ram: 512,
        protected: true,
        os_distro: 'debian',
        'owner_specified.openstack.md5': '',
      },
      raw,
    );
    for (const member of ['orchard', 'meadow', 'field']) {
      await ofGlance('garden.admin')('POST', `/v2/images/${ids['raw']}/members`, { member });
    }
    await ofGlance('orchard.member')('PUT', `/v2/images/${ids['raw']}/members/orchard`, {
      status: 'accepted',
    });
    await ofGlance('meadow.member')('PUT', `/v2/images/${ids['raw']}/members/meadow`, {
      status: 'rejected',
    });
    ids['public'] = await makeInGlance(
      both(),
      { visibility: 'public' },
      raw.subarray(7),
      'orchard',
    );
    ids['hidden'] = await makeInGlance(
      both(),
      { name: 'old', os_hidden: true, visibility: 'community' },
      raw.subarray(9),
    );
    ids['empty'] = await makeInGlance(both(), { name: 'nothing' }, new Uint8Array());
    ids['tiny'] = await makeInGlance(both(), { name: 'one byte' }, Buffer.from('x'));
    ids['wrong'] = await makeInGlance(both(), { name: 'no qcow2', disk_format: 'qcow2' }, raw);
    ids['queued'] = await makeInGlance(both(), { name: 'later' });
    ids['off'] = await makeInGlance(both(), { name: 'off', visibility: 'private' }, raw);
    await ofGlance('garden.admin')('POST', `/v2/images/${ids['off']}/actions/deactivate`);
  });

  const copied = ['raw', 'public', 'hidden', 'empty', 'tiny', 'off'];

  test('a dry run says what would be done, and does nothing', async () => {
    const { code, output } = await startMigration(both(), ['--dry-run']).ended;
    expect(output).toMatch(/^to be copied +7, /m);
    expect(output).toMatch(/^left out +1, /m);
    expect(code).toBe(0);
    const { status } = await both().ofDarkroom('garden')('GET', `/v2/images/${ids['raw']}`);
    expect(status).toBe(404);
  });

  test('all images are copied with all that is known of them, and what is not is told', async () => {
    const args = ['--report', report, '--token-file', both().tokenFile];
    const { code, output, errors } = await startMigration({ ...both(), token: '' }, args).ended;
    expect(errors).toBe('');
    expect(output).toMatch(/^copied +6, /m);
    expect(output).toMatch(/no qcow2.*refused: FORMAT_MISMATCH/);
    expect(output).toMatch(/later.*queued in Glance/);
    expect(code).toBe(1);
    for (const name of copied) {
      expect(await reported(report, ids[name]!), name).toMatchObject({
        outcome: 'copied',
        verified: 'as streamed',
        digest: { algorithm: 'sha512' },
        notes: [],
      });
    }
    expect(await reported(report, ids['raw']!)).toMatchObject({
      bytes: raw.length,
      bytes_sent: raw.length,
      sha256: createHash('sha256').update(raw).digest('hex'),
    });
    expect(await reported(report, ids['wrong']!)).toMatchObject({
      outcome: 'refused',
      reason: 'FORMAT_MISMATCH',
    });
    expect(await reported(report, ids['queued']!)).toMatchObject({ outcome: 'left out' });
    expect(await readFile(report, 'utf8')).not.toContain(both().token);
  });

  test('what was copied is as it is in Glance', async () => {
    const own =
      /^(checksum|os_hash_\w+|created_at|updated_at|os_darkroom_\w+|virtual_size|stores)$/;
    const shown = async (ask: RestClient, id: string) => {
      const { body } = await ask('GET', `/v2/images/${id}`);
      const entries = Object.entries(body ?? {}).filter(([name]) => !own.test(name));
      return Object.fromEntries(
        entries.map(([name, value]) => [
          name,
          Array.isArray(value) ? value.map(String).toSorted() : value,
        ]),
      );
    };
    for (const name of copied) {
      const owner = name === 'public' ? 'orchard' : 'garden';
      const ours = await shown(both().ofDarkroom(owner), ids[name]!);
      const theirs = await shown(both().ofGlance(`${owner}.admin`), ids[name]!);
      expect(ours, name).toEqual(theirs);
    }
  });

  test('with whom an image is shared, and what each said to it, is copied', async () => {
    const { body } = await both().ofDarkroom('garden')('GET', `/v2/images/${ids['raw']}/members`);
    const members = body?.['members'] as { member_id: string; status: string }[];
    expect(Object.fromEntries(members.map((one) => [one.member_id, one.status]))).toEqual({
      orchard: 'accepted',
      meadow: 'rejected',
      field: 'pending',
    });
  });

  test('a second run copies nothing again, and knows it by the report', async () => {
    const args = ['--report', report];
    const { output } = await startMigration(both(), args).ended;
    expect(output).toMatch(/^there already +6, /m);
    expect(await reported(report, ids['raw']!)).toMatchObject({
      outcome: 'there',
      bytes_sent: 0,
      verified: 'by the earlier report',
    });
  });

  test('without a report it reads what is in Darkroom, and compares it', async () => {
    const other = join(both().folder, 'other.json');
    const args = ['--report', other, '--image', ids['raw']!, '--image', ids['off']!];
    const { code } = await startMigration(both(), args).ended;
    expect(code).toBe(0);
    expect(await reported(other, ids['raw']!)).toMatchObject({
      outcome: 'there',
      verified: 'read back',
    });
    // Nobody but admins reads what is deactivated.
    expect(await reported(other, ids['off']!)).toMatchObject({
      outcome: 'there',
      verified: 'by size',
    });
  });

  test('another image with that id is not taken for it', async () => {
    const id = await makeInGlance(both(), { name: 'mine' }, Buffer.from('these'));
    const ask = both().ofDarkroom('garden');
    await ask('POST', '/v2/images', { id, disk_format: 'raw', container_format: 'bare' });
    await ask('PUT', `/v2/images/${id}/file`, 'those', {
      'content-type': 'application/octet-stream',
    });
    const { code, output } = await startMigration(both(), ['--image', id]).ended;
    expect(code).toBe(1);
    expect(output).toMatch(/IMAGE_EXISTS: .*other bytes: the sha512 differs/);
  });

  test('what has changed in Glance since is told', async () => {
    await both().ofGlance('garden.admin')(
      'PATCH',
      `/v2/images/${ids['tiny']}`,
      [{ op: 'replace', path: '/name', value: 'another name' }],
      { 'content-type': 'application/openstack-images-v2.1-json-patch' },
    );
    const { code, output } = await startMigration(both(), ['--image', ids['tiny']!]).ended;
    expect(output).toContain('another name": not as in Glance: name');
    expect(code).toBe(0);
  });

  test('only the images of some owners and visibilities are copied where that is asked for', async () => {
    const args = ['--dry-run', '--owner', 'orchard', '--visibility', 'public'];
    const { output } = await startMigration(both(), args).ended;
    expect(output).toMatch(/^there already +1, /m);
    expect(output).not.toMatch(/left out|to be copied/);
  });

  test('a caller of one project makes images for that alone, or as its own', async () => {
    const token = await both().memberToken('garden');
    const id = await makeInGlance(both(), { name: 'theirs' }, Buffer.from('x'), 'orchard');
    const args = ['--image', id];
    const refused = await startMigration({ ...both(), token }, args).ended;
    expect(refused.code).toBe(1);
    expect(refused.output).toMatch(/refused: PROJECT_NOT_ALLOWED: /);
    args.push('--into-own-project');
    const { code, output } = await startMigration({ ...both(), token }, args).ended;
    expect(output).toContain('its owner is garden, and not orchard');
    expect(code).toBe(0);
    const { body } = await both().ofDarkroom('garden')('GET', `/v2/images/${id}`);
    expect(body).toMatchObject({ status: 'active', owner: 'garden' });
  });

  test('a token that nobody knows is told as such, and nowhere shown', async () => {
    const token = 'no-such-token';
    const args = ['--image', ids['raw']!];
    const { code, output, errors } = await startMigration({ ...both(), token }, args).ended;
    expect(code).toBe(1);
    expect(output).toMatch(/CREDENTIAL_INVALID: Darkroom answers 401/);
    expect(output + errors).not.toContain(token);
  });

  test.skipIf(!hasProgram('qemu-img', 'qemu-utils'))('a qcow2 is one in Darkroom', async () => {
    const image = await makeQcow2Image();
    try {
      const id = await makeInGlance(both(), { disk_format: 'qcow2' }, image.bytes);
      expect((await startMigration(both(), ['--image', id]).ended).code).toBe(0);
      const { body } = await both().ofDarkroom('garden')('GET', `/v2/images/${id}`);
      expect(body).toMatchObject({ status: 'active', os_hash_value: image.sha256 });
    } finally {
      await image.remove();
    }
  });
});
