import { beforeAll, expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import type { ImageFilter } from '../../src/images/image-requests.ts';
import type { ImageSort } from '../../src/images/image-order.ts';
import type { ImageService } from '../../src/images/image-service.ts';
import type { ImageId } from '../../src/records/ids.ts';
import { alice, listOf, storeImages, useImages } from './images-world.ts';

const openImages = useImages();
let database: Database;
let images: ImageService;
let ids: ImageId[];

const second = (n: number): Date => new Date(1_700_000_000_000 + n * 1000);

beforeAll(async () => {
  ({ database, images } = openImages());
  ids = await storeImages(database, [
    { name: 'a', createTime: second(0), updateTime: second(9), sizeBytes: 5 },
    { name: 'b', createTime: second(1), updateTime: second(8), sizeBytes: 5, hidden: true },
    { name: 'c', createTime: second(2), updateTime: second(7), protected: true },
    { name: 'd', createTime: second(3), updateTime: second(6), deactivated: true },
    { name: 'e', createTime: second(4), state: 'QUEUED', diskFormat: 'QCOW2' },
    { name: 'f', createTime: second(5), state: 'DELETED' },
    { name: 'g', createTime: second(6), containerFormat: 'OVA', sizeBytes: 7, minDiskBytes: 9 },
  ]);
});

async function names(
  filter: Partial<ImageFilter>,
  order: readonly ImageSort[] = [{ key: 'NAME', direction: 'asc' }],
): Promise<string> {
  const page = await images.listImages(alice, listOf(filter, { order }));
  return page.rows.map(({ image }) => image.name).join('');
}

test.each<[string, Partial<ImageFilter>, string]>([
  ['nothing: what is hidden is left out', {}, 'acdeg'],
  ['what is hidden', { hidden: true }, 'b'],
  ['what is not', { hidden: false }, 'acdeg'],
  ['protected ones', { protected: true }, 'c'],
  ['others', { protected: false }, 'adeg'],
  ['deactivated ones', { deactivated: true }, 'd'],
  ['what is not deactivated', { deactivated: false }, 'aceg'],
  ['several names', { names: ['a', 'g', 'x'] }, 'ag'],
  ['a name and others', { name: 'c', names: ['a'] }, 'ac'],
  ['containers', { containerFormats: ['OVA'] }, 'g'],
  ['bare ones', { containerFormats: ['BARE'] }, 'acde'],
  ['a time of change', { updatedAfter: second(7) }, 'ac'],
  ['another', { updatedBefore: second(7) }, 'deg'],
  ['what was not created then', { createdOutside: [second(2), second(5)] }, 'ag'],
  ['a standing', { standings: ['ACTIVE'] }, 'acg'],
  ['two', { standings: ['DEACTIVATED', 'QUEUED'] }, 'de'],
  ['none', { standings: [] }, ''],
  ['a smallest disk', { minDiskBytes: [1, 10] }, 'g'],
  ['none of it', { minDiskBytes: [0, 9], minRamBytes: [0, 1] }, 'acde'],
  ['a digest', { sha256: '1'.repeat(64) }, ''],
])('lists are filtered by %s', async (_, filter, found) => {
  expect(await names(filter)).toBe(found);
});

test('lists are filtered by ids', async () => {
  expect(await names({ ids: [ids[0]!, ids[1]!, ids[6]!.toUpperCase()] })).toBe('ag');
});

test.each<[readonly ImageSort[], string]>([
  [[], 'gedca'],
  [
    [
      { key: 'SIZE', direction: 'asc' },
      { key: 'NAME', direction: 'desc' },
    ],
    'edcag',
  ],
  [
    [
      { key: 'DISK_FORMAT', direction: 'asc' },
      { key: 'NAME', direction: 'desc' },
    ],
    'egdca',
  ],
  [
    [
      { key: 'STATE', direction: 'desc' },
      { key: 'NAME', direction: 'asc' },
    ],
    'edacg',
  ],
  [
    [
      { key: 'CONTAINER_FORMAT', direction: 'desc' },
      { key: 'CREATE_TIME', direction: 'asc' },
    ],
    'gacde',
  ],
  [[{ key: 'ID', direction: 'desc' }], 'gedca'],
])('by %j they are in order, however small their pages are', async (order, expected) => {
  expect(await names({}, order)).toBe(expected);
  for (const pageSize of [1, 2]) {
    const found: string[] = [];
    let pageToken = '';
    do {
      const page = await images.listImages(alice, listOf({}, { order, pageSize, pageToken }));
      found.push(...page.rows.map(({ image }) => image.name));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(found.join('')).toBe(expected);
  }
  const walked: string[] = [];
  for (let after: string | undefined; ;) {
    const page = await images.listImages(alice, listOf({}, { order, pageSize: 1, after }));
    const [row] = page.rows;
    if (row === undefined) {
      break;
    }
    walked.push(row.image.name);
    after = row.image.id;
  }
  expect(walked.join('')).toBe(expected);
});
