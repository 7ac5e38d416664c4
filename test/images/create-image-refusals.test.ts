import { beforeAll, expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import type { ImageService } from '../../src/images/image-service.ts';
import type { CreateImageRequest } from '../../src/images/image-requests.ts';
import { Image } from '../../src/records/image.ts';
import {
  alice,
  failureOf,
  maxImageBytes,
  newImage,
  useImages,
  refusedFields,
} from './images-world.ts';

const openImages = useImages();

let database: Database;
let images: ImageService;

beforeAll(async () => {
  ({ database, images } = openImages());
});

const many = (count: number, value = 'v'): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, value]));
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `t${i}`);
const upload = (
  stated: { totalSize?: number; sha256?: string; decompress?: boolean } = {},
): Partial<CreateImageRequest> => ({
  source: { kind: 'upload', totalSize: undefined, sha256: undefined, ...stated },
});
const snapshot = (labels: Record<string, string>): Partial<CreateImageRequest> => ({
  source: { kind: 'snapshot', totalSize: undefined, sha256: undefined, labels },
});
const face = '\u{1F600}';

test.each<[string, CreateImageRequest, string]>([
  ['a name of 256 characters', newImage({ name: 'x'.repeat(256) }), 'image.name'],
  ['a name of 256 wide characters', newImage({ name: face.repeat(256) }), 'image.name'],
  ['a line break in the name', newImage({ name: 'a\nb' }), 'image.name'],
  ['a C1 control character in the name', newImage({ name: 'a\u0085b' }), 'image.name'],
  ['a NUL in the name', newImage({ name: 'a\0b' }), 'image.name'],
  ['half a surrogate pair in the name', newImage({ name: 'a\ud83d' }), 'image.name'],
  [
    'no disk format of what is unpacked',
    newImage({ diskFormat: undefined }, upload({ decompress: true })),
    'image.disk_format',
  ],
  ['an id that is none', newImage({}, { imageId: 'x' }), 'image_id'],
  ['an unknown disk format', newImage({ diskFormat: '99' }), 'image.disk_format'],
  ['an unknown container format', newImage({ containerFormat: 'X' }), 'image.container_format'],
  ['an unknown visibility', newImage({ visibility: 'TOP_SECRET' }), 'image.visibility'],
  ['a min disk below zero', newImage({ minDiskBytes: -1 }), 'image.min_disk_bytes'],
  ['a min disk over 2^53 - 1', newImage({ minDiskBytes: 2 ** 53 }), 'image.min_disk_bytes'],
  ['a min ram below zero', newImage({ minRamBytes: -1 }), 'image.min_ram_bytes'],
  ['129 properties', newImage({ properties: many(129) }), 'image.properties'],
  ['an empty property key', newImage({ properties: { '': 'x' } }), 'image.properties[""]'],
  [
    'a NUL in a property key',
    newImage({ properties: { 'a\0': 'x' } }),
    'image.properties["a\\u0000"]',
  ],
  [
    'half a surrogate pair in a property key',
    newImage({ properties: { '\udc00': 'x' } }),
    'image.properties["\\udc00"]',
  ],
  ['a NUL in a property', newImage({ properties: { a: '\0' } }), 'image.properties["a"]'],
  [
    'half a surrogate pair in a property',
    newImage({ properties: { a: '\ud800' } }),
    'image.properties["a"]',
  ],
  [
    'a property over 1,024 bytes',
    newImage({ properties: { a: 'é'.repeat(513) } }),
    'image.properties["a"]',
  ],
  ['129 tags', newImage({ tags: names(129) }), 'image.tags'],
  ['an empty tag', newImage({ tags: ['a', ''] }), 'image.tags[1]'],
  ['a tag of 256 characters', newImage({ tags: ['x'.repeat(256)] }), 'image.tags[0]'],
  ['a NUL in a tag', newImage({ tags: ['\0'] }), 'image.tags[0]'],
  ['a tag twice', newImage({ tags: ['a', 'b', 'a'] }), 'image.tags[2]'],
  ['no source', newImage({}, { source: undefined }), 'source'],
  ['a size below zero', newImage({}, upload({ totalSize: -1 })), 'upload.total_size'],
  [
    'a size over the limit',
    newImage({}, upload({ totalSize: maxImageBytes + 1 })),
    'upload.total_size',
  ],
  ['an empty sha256', newImage({}, upload({ sha256: '' })), 'upload.sha256'],
  ['a short sha256', newImage({}, upload({ sha256: 'a'.repeat(63) })), 'upload.sha256'],
  [
    'a sha256 with a prefix',
    newImage({}, upload({ sha256: `0x${'a'.repeat(62)}` })),
    'upload.sha256',
  ],
  [
    'a sha256 with a line break',
    newImage({}, upload({ sha256: `${'a'.repeat(64)}\n` })),
    'upload.sha256',
  ],
  ['65 labels', newImage({}, snapshot(many(65))), 'snapshot.labels'],
  ['an empty label key', newImage({}, snapshot({ '': 'x' })), 'snapshot.labels[""]'],
  [
    'a label key of 64 characters',
    newImage({}, snapshot({ ['k'.repeat(64)]: 'x' })),
    `snapshot.labels["${'k'.repeat(64)}"]`,
  ],
  [
    'a label of 256 characters',
    newImage({}, snapshot({ a: 'x'.repeat(256) })),
    'snapshot.labels["a"]',
  ],
  ['a NUL in a label', newImage({}, snapshot({ a: '\0' })), 'snapshot.labels["a"]'],
  ['a request id of 129 characters', newImage({}, { requestId: 'x'.repeat(129) }), 'request_id'],
  ['a request id that is not ASCII', newImage({}, { requestId: 'ü' }), 'request_id'],
  ['a request id with a line break', newImage({}, { requestId: 'a\n' }), 'request_id'],
  ['an idle timeout of 0', newImage({}, { idleTimeoutMs: 0 }), 'idle_timeout'],
  ['an idle timeout below 1 s', newImage({}, { idleTimeoutMs: 999.999 }), 'idle_timeout'],
  [
    'an idle timeout over 7 days',
    newImage({}, { idleTimeoutMs: 7 * 24 * 3_600_000 + 0.001 }),
    'idle_timeout',
  ],
  ['an idle timeout that is none', newImage({}, { idleTimeoutMs: Number.NaN }), 'idle_timeout'],
])('%s is refused', async (_, request, field) => {
  expect(await refusedFields(images.createImage(alice, request))).toEqual([field]);
});

test('what is just within the limits is taken', async () => {
  const request = newImage(
    {
      name: face.repeat(255),
      properties: {
        ...many(126),
        [face.repeat(255)]: 'é'.repeat(512),
        'tab\tkey': 'line\nbreak',
      },
      tags: [...names(127), face.repeat(255)],
    },
    {
      source: {
        kind: 'snapshot',
        totalSize: maxImageBytes,
        sha256: 'aA'.repeat(32),
        labels: { ...many(63), [face.repeat(63)]: face.repeat(255) },
      },
      requestId: '~'.repeat(128),
      idleTimeoutMs: 7 * 24 * 3_600_000,
    },
  );
  const { image } = await images.createImage(alice, request);
  const stored = await database.fork().findOneOrFail(Image, { id: image.id });
  expect(stored).toMatchObject({
    name: request.image.name,
    properties: request.image.properties,
    tags: request.image.tags,
  });
});

test('everything that is wrong is told at once', async () => {
  const request = newImage(
    {
      name: '\0',
      diskFormat: '7',
      containerFormat: '7',
      minDiskBytes: -1,
      minRamBytes: -1,
      properties: { '': '' },
      tags: [''],
      visibility: '7',
    },
    {
      source: { kind: 'snapshot', totalSize: -1, sha256: '?', labels: { '': '' } },
      requestId: '\n',
      idleTimeoutMs: 1,
    },
  );
  expect((await refusedFields(images.createImage(alice, request))).sort()).toEqual([
    'idle_timeout',
    'image.container_format',
    'image.disk_format',
    'image.min_disk_bytes',
    'image.min_ram_bytes',
    'image.name',
    'image.properties[""]',
    'image.tags[0]',
    'image.visibility',
    'request_id',
    'snapshot.labels[""]',
    'snapshot.sha256',
    'snapshot.total_size',
  ]);
});

test('however much is wrong, the error stays small', async () => {
  const error = await failureOf(
    images.createImage(alice, newImage({ properties: many(128, '\0'), tags: names(128).fill('') })),
  );
  expect(error.fieldViolations.length).toBeGreaterThan(10);
  expect(Buffer.byteLength(JSON.stringify(error.fieldViolations))).toBeLessThan(4096);
});
