import { beforeAll, expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import type { ImageService } from '../../src/images/image-service.ts';
import type { ImageFilter, ListImagesRequest } from '../../src/images/image-requests.ts';
import {
  alice,
  bob,
  failureOf,
  listOf,
  newImage,
  useImages,
  refusedFields,
  storeImages,
} from './images-world.ts';

const openImages = useImages();

let database: Database;
let images: ImageService;

const day = (n: number): Date => new Date(Date.UTC(2026, 0, n));

beforeAll(async () => {
  ({ database, images } = openImages());
  await storeImages(database, [
    {
      name: 'a_1%',
      sizeBytes: 10,
      tags: ['x', 'y'],
      properties: { os: 'linux', arch: 'arm' },
      createTime: day(1),
      updateTime: day(9),
    },
    {
      name: 'a_1%0',
      sizeBytes: 30,
      tags: ['x'],
      properties: { os: 'linux' },
      visibility: 'PUBLIC',
      createTime: day(2),
    },
    { name: 'aX1Y', sizeBytes: 20, diskFormat: 'ISO', tags: ['X'], createTime: day(3) },
    { name: 'a\\b', sizeBytes: 0, createTime: day(4) },
    { name: 'B', state: 'QUEUED', diskFormat: 'QCOW2', createTime: day(5) },
    { name: '\u{1F600}', state: 'QUEUED', outlook: 'NOT_COMING', createTime: day(6) },
    { name: '\uFFFD', state: 'DELETED', sizeBytes: 5, tags: ['x'], createTime: day(7) },
  ]);
  await storeImages(database, [{ name: 'other', tags: ['x'] }], bob);
});

async function names(request: ListImagesRequest): Promise<string[]> {
  const page = await images.listImages(alice, request);
  return page.rows.map(({ image }) => image.name).sort();
}

const living = ['a_1%', 'a_1%0', 'aX1Y', 'a\\b', 'B', '\u{1F600}'].sort();

test.each<[string, Partial<ImageFilter>, string[]]>([
  ['nothing: all that are not deleted', {}, living],
  ['one state', { states: ['DELETED'] }, ['\uFFFD']],
  ['every state', { states: ['DELETED', 'ACTIVE', 'QUEUED', 'ACTIVE'] }, [...living, '\uFFFD']],
  ['EXPECTED', { outlooks: ['EXPECTED'] }, ['B']],
  ['AVAILABLE', { outlooks: ['AVAILABLE'] }, ['a_1%', 'a_1%0', 'aX1Y', 'a\\b']],
  ['NOT_COMING', { outlooks: ['NOT_COMING'] }, ['\u{1F600}']],
  [
    'NOT_COMING in every state',
    { outlooks: ['NOT_COMING'], states: ['QUEUED', 'ACTIVE', 'DELETED'] },
    ['\u{1F600}', '\uFFFD'],
  ],
  ['an outlook that the state cannot have', { outlooks: ['AVAILABLE'], states: ['QUEUED'] }, []],
  ['a name', { name: 'a_1%' }, ['a_1%']],
  ['a name in another case', { name: 'b' }, []],
  ['a prefix with pattern characters', { namePrefix: 'a_1%' }, ['a_1%', 'a_1%0']],
  ['a prefix with a backslash', { namePrefix: 'a\\' }, ['a\\b']],
  ['an empty prefix', { namePrefix: '' }, living],
  ['a quote', { namePrefix: "a' or '1'='1" }, []],
  ['disk formats', { diskFormats: ['ISO', 'QCOW2'] }, ['aX1Y', 'B']],
  ['a visibility', { visibilities: ['PUBLIC'] }, ['a_1%0']],
  ['a tag', { tags: ['x'] }, ['a_1%', 'a_1%0']],
  ['all of several tags', { tags: ['y', 'x'] }, ['a_1%']],
  ['a property', { properties: { os: 'linux' } }, ['a_1%', 'a_1%0']],
  ['all of several properties', { properties: { arch: 'arm', os: 'linux' } }, ['a_1%']],
  ['a property with another value', { properties: { os: 'linu' } }, []],
  ['created at or after', { createdAfter: day(5) }, ['B', '\u{1F600}']],
  ['created before', { createdBefore: day(2) }, ['a_1%']],
  ['the least size', { minSizeBytes: 20 }, ['a_1%0', 'aX1Y']],
  ['the least size 0: with a size', { minSizeBytes: 0 }, ['a_1%', 'a_1%0', 'aX1Y', 'a\\b']],
  ['the most size: with a size', { maxSizeBytes: 10 }, ['a_1%', 'a\\b']],
  [
    'all together',
    {
      states: ['ACTIVE'],
      outlooks: ['AVAILABLE'],
      name: 'a_1%',
      namePrefix: 'a_',
      diskFormats: ['RAW'],
      visibilities: ['PRIVATE'],
      tags: ['x'],
      properties: { os: 'linux' },
      createdAfter: day(1),
      createdBefore: day(2),
      minSizeBytes: 10,
      maxSizeBytes: 10,
    },
    ['a_1%'],
  ],
])('filters by %s', async (_, filter, expected) => {
  expect(await names(listOf(filter))).toEqual([...expected].sort());
});

test.each<[string, string[]]>([
  ['CREATE_TIME_DESC', ['\uFFFD', '\u{1F600}', 'B', 'a\\b', 'aX1Y', 'a_1%0', 'a_1%']],
  ['CREATE_TIME_ASC', ['a_1%', 'a_1%0', 'aX1Y', 'a\\b', 'B', '\u{1F600}', '\uFFFD']],
  ['UPDATE_TIME_DESC', ['a_1%', '\uFFFD', '\u{1F600}', 'B', 'a\\b', 'aX1Y', 'a_1%0']],
  ['NAME_ASC', ['B', 'aX1Y', 'a\\b', 'a_1%', 'a_1%0', '\uFFFD', '\u{1F600}']],
  ['SIZE_DESC', ['a_1%0', 'aX1Y', 'a_1%', '\uFFFD', 'a\\b', '\u{1F600}', 'B']],
])('orders by %s, on one page and on pages of one', async (order, expected) => {
  const states = ['QUEUED', 'ACTIVE', 'DELETED'];
  const whole = await images.listImages(alice, listOf({ states }, { order }));
  expect(whole.rows.map(({ image }) => image.name)).toEqual(expected);
  expect(whole.nextPageToken).toBe('');

  const found: string[] = [];
  let pageToken = '';
  do {
    const page = await images.listImages(
      alice,
      listOf({ states }, { order, pageSize: 1, pageToken }),
    );
    expect(page.rows).toHaveLength(1);
    found.push(...page.rows.map(({ image }) => image.name));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  expect(found).toEqual(expected);
});

test('a full last page has no next one', async () => {
  const page = await images.listImages(alice, listOf({}, { pageSize: living.length }));
  expect(page).toMatchObject({ rows: { length: living.length }, nextPageToken: '' });
});

test('without an order the newest come first', async () => {
  const page = await images.listImages(alice, listOf({}, { pageSize: 1 }));
  expect(page.rows[0]?.image.name).toBe('\u{1F600}');
});

test.each<[string, Partial<ImageFilter>, Partial<Omit<ListImagesRequest, 'filter'>>, string]>([
  ['an unknown state', { states: ['ERROR'] }, {}, 'filter.states'],
  ['an unknown outlook', { outlooks: ['7'] }, {}, 'filter.outlooks'],
  ['an unknown format', { diskFormats: ['RAW', 'raw'] }, {}, 'filter.disk_formats'],
  ['an unknown visibility', { visibilities: [''] }, {}, 'filter.visibilities'],
  ['a NUL in one of the names', { names: ['a', '\0'] }, {}, 'filter.names[1]'],
  ['an id that is none', { ids: ['x'] }, {}, 'filter.ids[0]'],
  ['an unknown container', { containerFormats: ['bare'] }, {}, 'filter.container_formats'],
  ['a NUL in the name', { name: 'a\0' }, {}, 'filter.name'],
  ['a NUL in the prefix', { namePrefix: '\0' }, {}, 'filter.name_prefix'],
  ['half a surrogate pair in the prefix', { namePrefix: '\ud800' }, {}, 'filter.name_prefix'],
  ['a NUL in a tag', { tags: ['\0'] }, {}, 'filter.tags[0]'],
  ['a NUL in a property', { properties: { a: '\0' } }, {}, 'filter.properties["a"]'],
  ['a time that is none', { createdAfter: new Date(Number.NaN) }, {}, 'filter.created_after'],
  ['another such time', { createdBefore: new Date(Number.NaN) }, {}, 'filter.created_before'],
  ['a third', { updatedAfter: new Date(Number.NaN) }, {}, 'filter.updated_after'],
  ['a size below 0', { minSizeBytes: -1 }, {}, 'filter.min_size_bytes'],
  ['a size over 2^53', { maxSizeBytes: 2 ** 53 }, {}, 'filter.max_size_bytes'],
  ['an unknown order', {}, { order: '9' }, 'order_by'],
  ['an image after which it is to begin and that is none', {}, { after: 'x' }, 'after'],
  ['a page size below 0', {}, { pageSize: -1 }, 'page_size'],
])('%s is refused', async (_, filter, rest, field) => {
  expect(await refusedFields(images.listImages(alice, listOf(filter, rest)))).toEqual([field]);
});

test('times from year 1 to year 9999 are taken', async () => {
  const [first, last] = [new Date(-62_135_596_800_000), new Date(253_402_300_799_999)];
  expect(await names(listOf({ createdAfter: first, createdBefore: last }))).toEqual(living);
});

test('a page token belongs to its filter, its order and its project, not to the page size', async () => {
  const { nextPageToken: pageToken } = await images.listImages(
    alice,
    listOf({ states: ['ACTIVE', 'QUEUED'], tags: ['x', 'y'].slice(0, 1) }, { pageSize: 1 }),
  );
  const again = listOf({ states: ['QUEUED', 'ACTIVE'], tags: ['x'] }, { pageSize: 50, pageToken });
  expect((await images.listImages(alice, again)).rows).toHaveLength(1);

  for (const [caller, request] of [
    [alice, { ...again, filter: { ...again.filter, tags: ['y'] } }],
    [alice, { ...again, order: 'CREATE_TIME_ASC' }],
    [bob, again],
    [alice, { ...again, pageToken: 'garbage' }],
    [alice, { ...again, pageToken: `${pageToken}A` }],
  ] as const) {
    const error = await failureOf(images.listImages(caller, request));
    expect(error.reason).toBe('PAGE_TOKEN_INVALID');
  }
});

test('each image comes with its last fault', async () => {
  const caller = { ...alice, projectId: 'faults' };
  const created = await Promise.all(
    [0, 1, 2].map((i) => images.createImage(caller, newImage({ name: `n${i}` }))),
  );
  const doomed = created[1]?.image.id ?? '';
  await images.deleteImage(caller, { imageId: doomed, etag: '' });
  const page = await images.listImages(
    caller,
    listOf({ states: ['QUEUED', 'DELETED'] }, { order: 'NAME_ASC' }),
  );
  expect(page.rows.map(({ lastFault }) => lastFault?.reason)).toEqual([
    undefined,
    'IMAGE_DELETED',
    undefined,
  ]);
});
