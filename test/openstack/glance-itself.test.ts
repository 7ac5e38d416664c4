import { beforeAll, describe, expect, test, vi } from 'vitest';
import { patch10, patch4, restClient, type RestClient } from '../server/rest/rest-client.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasGlance, startGlance } from '../support/glance.ts';
import { startService } from '../support/running-service.ts';
import { tell, type Step } from './glance-stories.ts';

vi.setConfig({ hookTimeout: 120_000, testTimeout: 60_000 });

const image = '/v2/images/$a';
const patch = (body: unknown, type = patch10): Step => ({ ask: ['PATCH', image, body, type] });
const list = (query: string): Step => ({ ask: ['GET', `/v2/images?${query}`] });
const named = (name: string, fields: object = {}): Step => ({
  ask: ['POST', '/v2/images', { name, ...fields }],
  as: name,
});
const make: Step = named('a', { os: 'debian', tags: ['x', 'y'], min_disk: 1, min_ram: 2 });
const look: Step = { ask: ['GET', image] };

const bare = { disk_format: 'raw', container_format: 'bare' };
/** Ids of which both know which comes first. */
const listed = (n: number): string => `11111111-2222-4333-8444-66666666666${n}`;

const stories: Readonly<Record<string, readonly Step[]>> = {
  'an image is made with nothing': [{ ask: ['POST', '/v2/images', {}], as: 'a' }, look],
  'an image is made with everything': [
    named('a', {
      id: '11111111-2222-4333-8444-555555555555',
      disk_format: 'qcow2',
      container_format: 'bare',
      visibility: 'private',
      protected: false,
      os_hidden: true,
      min_disk: 3,
      min_ram: 4,
      tags: ['b', 'a', 'b'],
      os_distro: 'debian',
      owner: 'default',
    }),
    look,
    { ask: ['DELETE', image] },
    look,
    { ask: ['DELETE', image] },
  ],
  'what is wrong with a new image': [
    { ask: ['POST', '/v2/images', { name: 5 }] },
    { ask: ['POST', '/v2/images', { name: 'x'.repeat(256) }] },
    { ask: ['POST', '/v2/images', { disk_format: 'cd' }] },
    { ask: ['POST', '/v2/images', { container_format: 'cd' }] },
    { ask: ['POST', '/v2/images', { visibility: 'x' }] },
    { ask: ['POST', '/v2/images', { min_disk: -1 }] },
    { ask: ['POST', '/v2/images', { protected: 'x' }] },
    { ask: ['POST', '/v2/images', { tags: 'x' }] },
    { ask: ['POST', '/v2/images', { os: 1 }] },
    { ask: ['POST', '/v2/images', { id: 'x' }] },
    { ask: ['POST', '/v2/images', { status: 'active' }] },
    { ask: ['POST', '/v2/images', { checksum: 'x' }] },
    { ask: ['POST', '/v2/images', { self: 'x' }] },
    { ask: ['POST', '/v2/images', { locations: [] }] },
    { ask: ['POST', '/v2/images', { deleted: 'x' }] },
    { ask: ['POST', '/v2/images', { os_glance_x: 'x' }] },
    { ask: ['POST', '/v2/images', { ['x'.repeat(256)]: 'x' }] },
  ],
  'an image is changed': [
    make,
    patch([
      { op: 'replace', path: '/name', value: 'b' },
      { op: 'add', path: '/disk_format', value: 'raw' },
      { op: 'replace', path: '/container_format', value: 'bare' },
      { op: 'replace', path: '/min_ram', value: 7 },
      { op: 'replace', path: '/tags', value: ['q'] },
      { op: 'add', path: '/new~1one', value: '1' },
      { op: 'replace', path: '/os', value: '' },
      { op: 'replace', path: '/os_hidden', value: true },
      { op: 'replace', path: '/visibility', value: 'community' },
    ]),
    look,
    patch([{ op: 'remove', path: '/os' }]),
    patch([]),
    patch(
      [
        { replace: '/name', value: 'c' },
        { add: '/p', value: '1' },
      ],
      patch4,
    ),
    patch([{ remove: '/p' }], patch4),
    look,
  ],
  'what is wrong with a change': [
    make,
    patch({}),
    patch(['x']),
    patch([{ op: 'move', path: '/name', value: 'x' }]),
    patch([{ path: '/name', value: 'x' }]),
    patch([{ op: 'replace', value: 'x' }]),
    patch([{ op: 'replace', path: 'name', value: 'x' }]),
    patch([{ op: 'replace', path: '/name/x', value: 'x' }]),
    patch([{ op: 'replace', path: '/name' }]),
    patch([{ op: 'replace', path: '/name', value: 5 }]),
    patch([{ op: 'replace', path: '/a~x', value: 'x' }]),
    patch([{ op: 'replace', path: '/id', value: 'x' }]),
    patch([{ op: 'replace', path: '/status', value: 'x' }]),
    patch([{ op: 'replace', path: '/checksum', value: 'x' }]),
    patch([{ op: 'replace', path: '/size', value: 1 }]),
    patch([{ op: 'replace', path: '/deleted', value: 'x' }]),
    patch([{ op: 'add', path: '/os_glance_x', value: 'x' }]),
    patch([{ op: 'replace', path: '/locations', value: [] }]),
    patch([{ op: 'remove', path: '/name' }]),
    patch([{ op: 'remove', path: '/nothing' }]),
    patch([{ op: 'replace', path: '/nothing', value: 'x' }]),
    patch([{ add: '/os', value: 'x' }], patch4),
    patch([{ add: '/name', value: 'x' }], patch4),
    patch([{ op: 'add', path: '/os', value: 'x' }], patch4),
    patch([], 'application/json'),
    look,
    { ask: ['PATCH', '/v2/images/11111111-2222-4333-8444-000000000000', [], patch10] },
  ],
  'an image is protected': [
    named('a', { protected: true }),
    { ask: ['DELETE', image] },
    patch([{ op: 'replace', path: '/protected', value: false }]),
    { ask: ['DELETE', image] },
  ],
  'tags come and go': [
    make,
    { ask: ['PUT', `${image}/tags/z`] },
    { ask: ['PUT', `${image}/tags/z`] },
    { ask: ['DELETE', `${image}/tags/x`] },
    { ask: ['DELETE', `${image}/tags/x`] },
    { ask: ['PUT', `${image}/tags/${'x'.repeat(256)}`] },
    look,
  ],
  'an image is shared': [
    make,
    { ask: ['GET', `${image}/members`] },
    { ask: ['POST', `${image}/members`, { member: 'friend' }] },
    { ask: ['POST', `${image}/members`, { member: 'friend' }] },
    { ask: ['POST', `${image}/members`, { member: '' }] },
    { ask: ['POST', `${image}/members`, {}] },
    { ask: ['POST', `${image}/members`, []] },
    { ask: ['GET', `${image}/members/friend`] },
    { ask: ['GET', `${image}/members/nobody`] },
    { ask: ['DELETE', `${image}/members/friend`] },
    { ask: ['DELETE', `${image}/members/friend`] },
  ],
  'an image gets its bytes, and is deactivated': [
    named('a', { disk_format: 'raw', container_format: 'bare' }),
    { ask: ['PUT', `${image}/file`, 'some bytes', 'application/octet-stream'] },
    look,
    patch([{ op: 'replace', path: '/disk_format', value: 'qcow2' }]),
    patch([{ op: 'replace', path: '/name', value: 'other' }]),
    { ask: ['POST', `${image}/actions/deactivate`] },
    { ask: ['POST', `${image}/actions/deactivate`] },
    look,
    { ask: ['PUT', `${image}/file`, 'other bytes', 'application/octet-stream'] },
    { ask: ['POST', `${image}/actions/reactivate`] },
    { ask: ['POST', `${image}/actions/reactivate`] },
    look,
    { ask: ['DELETE', image] },
    { ask: ['POST', `${image}/actions/deactivate`] },
  ],
  'an image without formats takes no bytes': [
    make,
    { ask: ['PUT', `${image}/file`, 'some bytes', 'application/octet-stream'] },
    look,
  ],
  'what has no bytes is not deactivated': [
    make,
    { ask: ['POST', `${image}/actions/deactivate`] },
    { ask: ['POST', `${image}/actions/reactivate`] },
  ],
  'lists are filtered and sorted': [
    named('l1', { id: listed(2), ...bare, tags: ['t'], k: 'v' }),
    named('l2', {
      id: listed(1),
      disk_format: 'qcow2',
      container_format: 'ova',
      visibility: 'public',
    }),
    named('l3', { protected: true, tags: ['t', 'u'], os_hidden: true }),
    named('l4', { visibility: 'community', min_disk: 1, min_ram: 512 }),
    named('l5', { id: listed(3), ...bare, 'a:b': 'x y', min_disk: 2 }),
    { ask: ['PUT', '/v2/images/$l5/file', 'twelve bytes', 'application/octet-stream'] },
    ...[
      'name=l1',
      'name=in:l1,l2',
      'name=in:"l1",l4',
      'k=v',
      'tag=t&k=v',
      'tag=t&tag=u&os_hidden=true',
      'disk_format=qcow2',
      'container_format=in:ova,ovf',
      'visibility=public',
      'visibility=community&name=l4',
      'protected=true&os_hidden=true',
      'name=in:l1,l2,l4&sort=name:asc',
      'name=in:l1,l2,l4&sort_key=name&sort_dir=desc',
      'name=in:l1,l2,l4&sort=disk_format:asc,name:desc',
      'name=in:l1,l2,l4&sort=name:asc&limit=2',
      'name=in:l1,l2,l4&sort=name:asc&marker=$l2',
      'name=l1&created_at=gt:2020-01-01T00:00:00Z',
      'name=l1&created_at=lt:2020-01-01T00:00:00Z',
      'name=l1&status=queued',
      'name=l1&status=active',
      'name=l1&owner=default',
      'name=l1&size_min=1',
      'name=l5&size_min=12',
      'name=l5&size_min=13',
      'name=l5&size_max=12&size_min=12',
      'name=l5&size_max=11',
      'name=in:l4,l5&min_disk=1&visibility=all',
      'name=in:l4,l5&min_disk=2&visibility=all',
      'name=in:l4,l5&min_ram=512&visibility=all',
      'name=in:l4,l5&min_ram=0&visibility=all',
      'name=l5&checksum=none',
      'name=l5&os_hash_value=none',
      'a:b=x%20y',
      'name=l5&status=in:active,queued',
      'name=in:l1,l5&status=in:active,deactivated',
      'name=in:l1,l2,l5&disk_format=in:raw,qcow2&sort=name:asc',
      'name=in:l1,l2,l5&container_format=in:ova,bare&sort=name:asc',
      'name=in:l1,l2,l5&protected=false&sort=name:asc',
      'name=l3&protected=true&os_hidden=true',
      'name=in:l1,l2,l5&os_hidden=false&sort=name:asc',
      'name=in:l1,l3&tag=t&sort=name:asc',
      'id=in:$l1,$l5&sort=name:asc',
      'member_status=all&name=l1',
      'member_status=pending&visibility=shared&name=l1',
      'member_status=accepted&visibility=shared&name=l1',
      'name=l5&owner=nobody',
      ...['eq', 'neq', 'gt', 'gte', 'lt', 'lte'].flatMap((operator) =>
        ['created_at', 'updated_at'].map(
          (field) => `name=l1&${field}=${operator}:2020-01-01T00:00:00Z`,
        ),
      ),
      'name=l1&created_at=gt:2020-01-01T00:00:00Z&updated_at=lt:2035-01-01T00:00:00Z',
      'name=l1&created_at=in:2020-01-01T00:00:00Z',
      'name=gt:a',
      'status=gt:active',
      ...[
        'name',
        'status',
        'container_format',
        'disk_format',
        'size',
        'id',
        'created_at',
        'updated_at',
      ].flatMap((key) =>
        ['asc', 'desc'].flatMap((direction) => [
          `disk_format=in:raw,qcow2&container_format=in:bare,ova&sort=${key}:${direction},name:asc`,
          `disk_format=in:raw,qcow2&sort_key=${key}&sort_dir=${direction}&sort_key=name&sort_dir=asc`,
        ]),
      ),
      'sort=owner',
      'sort_key=min_disk',
      'name=l1&id=$l1',
      'limit=0',
      'limit=-1',
      'limit=x',
      'marker=11111111-2222-4333-8444-000000000000',
      'sort=color',
      'sort=name:up',
      'sort=name&sort_key=name',
      'visibility=x',
      'member_status=x',
      'os_hidden=x',
      'protected=x',
      'created_at=x',
      'size_min=x',
      'name=in:"l1',
      'changes-since=2020-01-01T00:00:00Z',
    ].map(list),
  ],
  'what there is not': [
    { ask: ['GET', '/v2/images/11111111-2222-4333-8444-000000000000'] },
    { ask: ['GET', '/v2/images/x'] },
    { ask: ['GET', '/v2/images/'] },
    { ask: ['DELETE', '/v2/images/x'] },
    { ask: ['PUT', '/v2/images'] },
    { ask: ['POST', '/v2/images/x'] },
    { ask: ['GET', '/v2/nothing'] },
  ],
};

describe.skipIf(!hasGlance())('as Glance does it:', () => {
  let ours: RestClient;
  let glances: RestClient;
  beforeAll(async () => {
    const cleanUps = new CleanUps();
    const [service, glance] = await Promise.all([
      startService({ DARKROOM_PROCESSES: '1' }, cleanUps.defer),
      startGlance(cleanUps.defer),
    ]);
    ours = restClient(() => service.process.url);
    glances = restClient(() => glance.url, 'default.admin.member.reader');
    return cleanUps.run;
  });

  test.each(Object.entries(stories))('%s', async (_, steps) => {
    const [here, there] = await Promise.all([tell(ours, steps), tell(glances, steps)]);
    expect(here).toEqual(there);
  });
});
