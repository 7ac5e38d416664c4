import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { Image_DiskFormat, Image_Visibility } from '../../../gen/darkroom/v1/image_pb.ts';
import { sharedService } from './fixtures.ts';
import { restClient } from './rest-client.ts';

const service = sharedService();
const ask = restClient(() => service().process.url);
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string;

test('an image of which nothing is said has Glance’s defaults, and a task that waits for its bytes', async () => {
  const { status, headers, body } = await ask('POST', '/v2/images', {});
  const id = String(body?.['id']);
  const task = String(body?.['os_darkroom_task']);
  expect([status, body]).toEqual([
    201,
    {
      id,
      name: null,
      status: 'queued',
      visibility: 'shared',
      protected: false,
      os_hidden: false,
      owner: 'default',
      disk_format: null,
      container_format: null,
      size: null,
      virtual_size: null,
      min_disk: 0,
      min_ram: 0,
      checksum: null,
      os_hash_algo: null,
      os_hash_value: null,
      tags: [],
      created_at: time,
      updated_at: time,
      self: `/v2/images/${id}`,
      file: `/v2/images/${id}/file`,
      schema: '/v2/schemas/image',
      os_darkroom_outlook: 'expected',
      os_darkroom_task: task,
    },
  ]);
  expect(headers.get('location')).toBe(`/v2/images/${id}`);
  expect(headers.get('link')).toBe(`<${task}>; rel="monitor"`);
  expect((await ask('GET', task)).body).toMatchObject({ status: 'pending', image_id: id });
  expect((await ask('GET', `/v2/images/${id}`)).body).toEqual(body);
});

test('an image has all that is said of it, which gRPC tells, too', async () => {
  const id = randomUUID();
  const said = {
    id,
    name: 'dísk 💿',
    visibility: 'community',
    protected: false,
    os_hidden: true,
    owner: 'default',
    disk_format: 'qcow2',
    container_format: 'ovf',
    min_disk: 3,
    min_ram: 512,
    tags: ['b', 'a', 'b'],
    os_distro: 'debian',
    'a/b~c': '',
  };
  const { status, body } = await ask('POST', '/v2/images', said);
  expect([status, body]).toEqual([201, expect.objectContaining({ ...said, tags: ['b', 'a'] })]);
  const { image } = await service().images.getImage({ imageId: id });
  expect(image).toMatchObject({
    name: 'dísk 💿',
    diskFormat: Image_DiskFormat.QCOW2,
    visibility: Image_Visibility.COMMUNITY,
    hidden: true,
    minDiskBytes: 3n * 1024n ** 3n,
    minRamBytes: 512n * 1024n ** 2n,
    properties: { os_distro: 'debian', 'a/b~c': '' },
  });
});

test('what the service tells of an image is not taken over into another, as Nova’s snapshots would', async () => {
  const { body } = await ask('POST', '/v2/images', {
    name: 'snapshot',
    os_darkroom_task: '/v2/tasks/other',
    os_darkroom_outlook: 'not_coming',
    packed_size: '9',
  });
  expect(body).toMatchObject({ os_darkroom_outlook: 'expected' });
  expect(body?.['os_darkroom_task']).not.toBe('/v2/tasks/other');
  expect(body).not.toHaveProperty('packed_size');
});

test('a request that is repeated with its id gets the same image, and another one a conflict', async () => {
  const request = { id: randomUUID(), name: 'once' };
  const first = await ask('POST', '/v2/images', request);
  const again = await ask('POST', '/v2/images', request);
  expect([again.status, again.body]).toEqual([201, first.body]);
  const other = await ask('POST', '/v2/images', { ...request, name: 'twice' });
  expect([other.status, other.body]).toEqual([
    409,
    {
      code: '409 Conflict',
      title: 'Conflict',
      reason: 'IMAGE_EXISTS',
      message: expect.stringContaining(request.id) as string,
    },
  ]);
});

const long = 'x'.repeat(256);
test.each<[string, unknown, number, string]>([
  ['a list', [], 400, 'body must be a JSON object with the fields of an image'],
  ['a text', '"image"', 400, 'body must be a JSON object with the fields of an image'],
  ['half an object', '{"name": "x"', 400, 'body must be JSON, and cannot be read as that'],
  ['a key twice', '{"name": "x", "name": "y"}', 400, 'body has the key "name" twice'],
  ['a name of 256 characters', { name: long }, 400, 'must have at most 255 characters, not 256'],
  ['a name with a NUL', { name: 'a\0b' }, 400, 'must not have characters that do not show'],
  ['a name that is a number', { name: 7 }, 400, 'name must be a text or null, not a number'],
  ['an id that is none', { id: 'x' }, 400, 'must be a UUID'],
  ['a format that is none', { disk_format: 'cd' }, 400, 'disk_format must be one of raw, qcow2'],
  ['a format in capitals', { disk_format: 'RAW' }, 400, 'disk_format must be one of raw, qcow2'],
  ['a container that is none', { container_format: 'x' }, 400, 'must be one of bare, ovf'],
  ['no visibility', { visibility: null }, 400, 'visibility must be one of private, shared'],
  ['a disk below zero', { min_disk: -1 }, 400, 'min_disk must be a whole number from 0 to 8388607'],
  ['memory beyond reason', { min_ram: 2 ** 60 }, 400, 'min_ram must be a whole number from 0 to'],
  ['memory in words', { min_ram: '512' }, 400, 'min_ram must be a whole number from 0 to'],
  ['half a yes', { protected: 'true' }, 400, 'protected must be true or false, not a string'],
  ['a tag that is no text', { tags: [1] }, 400, 'tags must be a list of texts'],
  ['tags that are no list', { tags: 'a' }, 400, 'tags must be a list of texts, not a string'],
  ['a tag of 256 characters', { tags: [long] }, 400, 'must have at most 255 characters'],
  ['a property that is no text', { os: { a: 1 } }, 400, '"os" must be a text'],
  [
    'a property without value',
    { os: null },
    400,
    '"os" must be a text, as every property, not null',
  ],
  [
    'a property whose name is too long',
    { [long]: 'x' },
    400,
    'has a key that must have at most 255',
  ],
  ['a property that is too long', { os: 'x'.repeat(1025) }, 400, 'must have at most 1024 bytes'],
  [
    '129 tags',
    { tags: Array.from({ length: 129 }, (_, i) => `t${i}`) },
    413,
    'at most 128 entries, not 129',
  ],
  [
    '129 properties',
    Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`p${i}`, ''])),
    413,
    'at most 128 properties besides its fields, not 129',
  ],
  ['a status', { status: 'active' }, 403, '"status" is set by the service, and is read-only'],
  ['a checksum', { checksum: 'x' }, 403, '"checksum" is set by the service, and is read-only'],
  ['a place', { self: '/' }, 403, '"self" is set by the service, and is read-only'],
  ['locations', { locations: [] }, 403, '"locations" is a reserved name'],
  ['what is deleted', { deleted: 'true' }, 403, '"deleted" is a reserved name'],
  ['a name of Glance’s own', { os_glance_x: 'y' }, 403, '"os_glance_x" is a reserved name'],
])('%s makes no image', async (_, request, status, words) => {
  const before = await ask('GET', '/v2/images?limit=1000&visibility=all');
  const { status: answered, body } = await ask('POST', '/v2/images', request);
  expect([answered, body]).toEqual([
    status,
    expect.objectContaining({
      message: expect.stringContaining(words) as string,
      reason: 'FIELD_INVALID',
    }),
  ]);
  expect((await ask('GET', '/v2/images?limit=1000&visibility=all')).body).toEqual(before.body);
});

test.each(['application/x-www-form-urlencoded', 'text/plain', 'application/octet-stream'])(
  'what is sent as %s makes no image',
  async (type) => {
    const answer = await ask('POST', '/v2/images', {}, { 'content-type': type });
    expect([answer.status, answer.body?.['reason']]).toEqual([415, 'UNSUPPORTED']);
  },
);

test('schemas tell what images, members and lists of them are made of', async () => {
  for (const [name, inner] of [
    ['image', 'id'],
    ['images', 'images'],
    ['member', 'member_id'],
    ['members', 'members'],
  ] as const) {
    const { status, body } = await ask('GET', `/v2/schemas/${name}`);
    expect([status, body]).toEqual([
      200,
      expect.objectContaining({
        name,
        properties: expect.objectContaining({ [inner]: expect.anything() as object }) as object,
      }),
    ]);
  }
});
