import { beforeAll, describe, expect, test } from 'vitest';
import { sharedService } from './fixtures.ts';
import { storeImage } from './file-fixtures.ts';
import { restClient } from './rest-client.ts';

const service = sharedService();
const ask = restClient(() => service().process.url);
const ids: Record<string, string> = {};

beforeAll(async () => {
  for (const [name, fields] of [
    ['a', { disk_format: 'raw', container_format: 'bare', tags: ['x', 'y'] }],
    ['b', { disk_format: 'qcow2', container_format: 'ova', tags: ['x'], os: 'debian' }],
    ['c,d', { visibility: 'public', min_disk: 3 }],
    ['e', { visibility: 'community', protected: true }],
    ['f', { os_hidden: true }],
    ['gone', {}],
  ] as const) {
    const { body } = await ask('POST', '/v2/images', { name, visibility: 'private', ...fields });
    ids[name] = String(body?.['id']);
  }
  await ask('DELETE', `/v2/images/${ids['gone']}`);
  const stored = await storeImage(service(), Buffer.from('twelve bytes'));
  ids['disk'] = stored.id;
});

interface Listed {
  readonly images: readonly Readonly<Record<string, unknown>>[];
  readonly first: string;
  readonly next?: string;
  readonly schema: string;
}

async function list(query: string): Promise<Listed> {
  const { status, body } = await ask('GET', `/v2/images?${query}`);
  expect([query, status]).toEqual([query, 200]);
  return body as unknown as Listed;
}

async function names(query: string): Promise<unknown[]> {
  const { images } = await list(query);
  return images.map(({ name }) => name);
}

/** All but what is hidden or gone, the newest first. */
const all = ['disk', 'e', 'c,d', 'b', 'a'];

test('a list shows each image as it is by itself, the newest first', async () => {
  const { images, first, next, schema } = await list('');
  expect(images.map(({ name }) => name)).toEqual(all);
  expect([first, next, schema]).toEqual(['/v2/images', undefined, '/v2/schemas/images']);
  for (const image of images) {
    expect((await ask('GET', String(image['self']))).body).toEqual(image);
  }
});

describe('filtered by', () => {
  test.each([
    ['name=a', ['a']],
    ['name=in:a,b,none', ['b', 'a']],
    ['name=in:"c,d",e', ['e', 'c,d']],
    ['name=A', []],
    ['name=eq:gt:a', []],
    ['name=x:y', []],
    ['status=queued', ['e', 'c,d', 'b', 'a']],
    ['status=active', ['disk']],
    ['status=in:active,deactivated', ['disk']],
    ['status=saving', []],
    ['status=killed', []],
    ['status=deleted', []],
    ['disk_format=qcow2', ['b']],
    ['disk_format=in:qcow2,vdi', ['b']],
    ['container_format=ova', ['b']],
    ['visibility=public', ['c,d']],
    ['visibility=community', ['e']],
    ['visibility=all', all],
    ['visibility=shared', []],
    ['owner=default', all],
    ['owner=other', []],
    ['tag=x', ['b', 'a']],
    ['tag=x&tag=y', ['a']],
    ['os_hidden=true', ['f']],
    ['os_hidden=false', all],
    ['protected=true', ['e']],
    ['protected=false', ['disk', 'c,d', 'b', 'a']],
    ['os=debian', ['b']],
    ['os=debian&none=x', []],
    ['min_disk=3', ['c,d']],
    ['min_disk=2', []],
    ['min_disk=0', ['disk', 'e', 'b', 'a']],
    ['min_disk=gt:2&min_disk=lte:3', ['c,d']],
    ['min_disk=999999999999999', []],
    ['min_disk=lt:0', []],
    ['min_ram=0', all],
    ['min_ram=gte:1', []],
    ['checksum=d41d8cd98f00b204e9800998ecf8427e', []],
    ['size_min=1', ['disk']],
    ['size_max=11', []],
    ['size=12', ['disk']],
    ['size=gte:12', ['disk']],
    ['size=gt:12', []],
    ['size=lt:13', ['disk']],
    ['created_at=gt:2020-01-01', all],
    ['created_at=lt:2020-01-01T00:00:00Z', []],
    ['created_at=gt:2020-01-01&created_at=lt:2021-01-01', []],
    ['updated_at=gte:2020-01-01T00:00:00%2B01:00', all],
    ['updated_at=neq:2020-01-01T00:00:00Z', all],
    ['updated_at=lte:9999-12-31T23:59:58Z', all],
    ['created_at=gte:0001-01-01', all],
    ['os_darkroom_outlook=available', ['disk']],
    ['member_status=all', all],
    ['name=a&status=active', []],
  ])('%s', async (query, expected) => {
    expect(await names(query)).toEqual(expected);
  });

  test('ids, of which one that is none is nobody’s', async () => {
    expect(await names(`id=${ids['a']}`)).toEqual(['a']);
    expect(await names(`id=in:${ids['a']},${ids['b']},x`)).toEqual(['b', 'a']);
    expect(await names('id=x')).toEqual([]);
  });

  test('the very second in which an image was made', async () => {
    const { body } = await ask('GET', `/v2/images/${ids['a']}`);
    const time = String(body?.['created_at']);
    expect(await names(`name=a&created_at=${time}`)).toEqual(['a']);
    expect(await names(`name=a&created_at=eq:${time}`)).toEqual(['a']);
    expect(await names(`name=a&created_at=lte:${time}`)).toEqual(['a']);
    expect(await names(`name=a&created_at=gt:${time}`)).toEqual([]);
    expect(await names(`name=a&created_at=neq:${time}`)).toEqual([]);
  });

  test('status, which tells a deactivated image from an active one', async () => {
    await ask('POST', `/v2/images/${ids['disk']}/actions/deactivate`);
    expect(await names('status=active')).toEqual([]);
    expect(await names('status=deactivated')).toEqual(['disk']);
    await ask('POST', `/v2/images/${ids['disk']}/actions/reactivate`);
    expect(await names('status=active')).toEqual(['disk']);
  });
});

describe('sorted by', () => {
  test.each([
    ['sort=name:asc', ['a', 'b', 'c,d', 'disk', 'e']],
    ['sort_key=name&sort_dir=asc', ['a', 'b', 'c,d', 'disk', 'e']],
    ['sort_key=name', ['e', 'disk', 'c,d', 'b', 'a']],
    ['sort=size:asc,name:desc', ['e', 'c,d', 'b', 'a', 'disk']],
    ['sort_key=size&sort_dir=asc&sort_key=name&sort_dir=desc', ['e', 'c,d', 'b', 'a', 'disk']],
    ['sort=status,name:asc', ['a', 'b', 'c,d', 'e', 'disk']],
    ['sort=disk_format:asc,container_format:asc,created_at:asc', ['c,d', 'e', 'b', 'a', 'disk']],
    ['sort=created_at:asc', ['a', 'b', 'c,d', 'e', 'disk']],
    ['sort_dir=asc', ['a', 'b', 'c,d', 'e', 'disk']],
    ['sort=id:asc', ['a', 'b', 'c,d', 'e', 'disk']],
  ])('%s, in whatever pages', async (query, expected) => {
    expect(await names(query)).toEqual(expected);
    for (const limit of [1, 2, 3]) {
      const walked: unknown[] = [];
      for (
        let next: string | undefined = `/v2/images?${query}&limit=${limit}`;
        next !== undefined;
      ) {
        const page: Listed = await list(next.slice('/v2/images?'.length));
        expect(page.images.length).toBeLessThanOrEqual(limit);
        expect(page.first).not.toContain('marker');
        walked.push(...page.images.map(({ name }) => name));
        next = page.next;
      }
      expect(walked).toEqual(expected);
    }
  });

  test('the time of change, a list comes to its end though its marker changes meanwhile', async () => {
    const walked: unknown[] = [];
    let next: string | undefined = '/v2/images?sort=updated_at:desc&limit=1';
    while (next !== undefined) {
      const page: Listed = await list(next.slice('/v2/images?'.length));
      const [image] = page.images;
      walked.push(image?.['name']);
      await ask('PUT', `${String(image?.['self'])}/tags/seen`);
      next = page.next;
    }
    expect(new Set(walked)).toEqual(new Set(all));
    expect(walked).toHaveLength(all.length);
  });
});

test('a list goes on after a marker, as clients put it there themselves', async () => {
  expect(await names(`marker=${ids['c,d']}`)).toEqual(['b', 'a']);
  expect(await names(`marker=${ids['c,d']}&limit=1`)).toEqual(['b']);
  expect(await names('limit=0')).toEqual([]);
  expect((await list('limit=5000')).images).toHaveLength(all.length);
});

test.each([
  ['limit=-1', 'limit must be a whole number'],
  ['limit=x', 'limit must be a whole number'],
  ['marker=x', 'marker must be the id of an image'],
  ['marker=00000000-0000-4000-8000-000000000000', 'marker names no image'],
  ['sort=size:up', 'sort must be one of asc, desc'],
  ['sort=color', 'sort must be one of name, status'],
  ['sort=name&sort_key=size', 'sort must not be sent together'],
  ['sort_key=owner', 'sort_key must be one of name, status'],
  ['sort_key=name&sort_dir=asc&sort_dir=desc', 'sort_dir must be sent once'],
  ['visibility=secret', 'visibility must be one of private'],
  ['member_status=maybe', 'member_status must be one of pending'],
  ['os_hidden=maybe', 'os_hidden must be one of true, false'],
  ['protected=1', 'protected must be one of true, false'],
  ['status=on', 'status must be one of queued'],
  ['disk_format=cd', 'disk_format must be one of raw'],
  ['size_min=big', 'size_min must be a whole number'],
  ['min_disk=big', 'min_disk must be a whole number'],
  ['min_ram=neq:1', 'min_ram cannot be compared by neq'],
  ['created_at=yesterday', 'created_at must be a time'],
  ['created_at=lt:0000-12-31', 'created_at must be a time'],
  ['updated_at=lte:9999-12-31T23:59:59Z', 'updated_at must be a time'],
  ['created_at=since:2020-01-01', 'created_at must be a time'],
  ['name=in:"a', 'name must have quotation marks'],
  ['name=in:a"b"', 'name must have quotation marks'],
  ['name=gt:a', 'name cannot be compared by gt'],
  ['status=neq:active', 'status cannot be compared by neq'],
  ['name=%00', 'must not have characters'],
  ['changes-since=2020-01-01', 'is no filter of this list'],
  ['page_token=x', 'page_token is none that this service gave out'],
])('asked for %s is refused', async (query, words) => {
  const { status, body } = await ask('GET', `/v2/images?${query}`);
  expect([status, body?.['message']]).toEqual([400, expect.stringContaining(words)]);
});
