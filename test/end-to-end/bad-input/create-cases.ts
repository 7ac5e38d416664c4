import type { Image_DiskFormat } from '../../../gen/darkroom/v1/image_pb.ts';
import { createRequest, invalid, type Case, type CreateRequest } from './case.ts';

function upload(value: { totalSize?: bigint; sha256?: string }): CreateRequest {
  return createRequest({}, { source: { case: 'upload', value } });
}

/** Wrong fields of CreateImage. */
export const createCases: Case[] = (
  [
    ['nothing', {}, ['source']],
    ['an id that is none', createRequest({}, { imageId: 'x' }), ['image_id']],
    ['a name of 256 characters', createRequest({ name: '😀'.repeat(256) }), ['image.name']],
    ['a name with a line break', createRequest({ name: 'a\nb' }), ['image.name']],
    ['a name with NUL', createRequest({ name: 'a\0b' }), ['image.name']],
    [
      'a format that is none',
      createRequest({ diskFormat: 99 as Image_DiskFormat }),
      ['image.disk_format'],
    ],
    [
      'a container that is none',
      createRequest({ containerFormat: 99 as 1 }),
      ['image.container_format'],
    ],
    ['a visibility that is none', createRequest({ visibility: -1 as 1 }), ['image.visibility']],
    ['a disk below zero', createRequest({ minDiskBytes: -1n }), ['image.min_disk_bytes']],
    ['memory beyond 2^53', createRequest({ minRamBytes: 2n ** 63n - 1n }), ['image.min_ram_bytes']],
    ['a tag twice', createRequest({ tags: ['a', 'b', 'a'] }), ['image.tags[2]']],
    ['an empty tag', createRequest({ tags: [''] }), ['image.tags[0]']],
    ['129 tags', createRequest({ tags: Array.from({ length: 129 }, String) }), ['image.tags']],
    [
      'a property with NUL',
      createRequest({ properties: { k: 'a\0b' } }),
      ['image.properties["k"]'],
    ],
    ['an empty key', createRequest({ properties: { '': 'v' } }), ['image.properties[""]']],
    [
      'a value of 1,025 bytes',
      createRequest({ properties: { k: 'x'.repeat(1025) } }),
      ['image.properties["k"]'],
    ],
    ['a size below zero', upload({ totalSize: -1n }), ['upload.total_size']],
    ['a size above the limit', upload({ totalSize: 2n ** 44n + 1n }), ['upload.total_size']],
    ['the largest size', upload({ totalSize: 2n ** 63n - 1n }), ['upload.total_size']],
    ...[
      '',
      'x'.repeat(64),
      'a'.repeat(63),
      'a'.repeat(65),
      `0x${'a'.repeat(62)}`,
      `${'a'.repeat(63)} `,
      `sha256:${'a'.repeat(64)}`,
      'ａ'.repeat(64),
    ].map(
      (sha256) =>
        [`the digest ${JSON.stringify(sha256)}`, upload({ sha256 }), ['upload.sha256']] as const,
    ),
    ['a request id with é', createRequest({}, { requestId: 'é' }), ['request_id']],
    ['a request id of 129', createRequest({}, { requestId: 'x'.repeat(129) }), ['request_id']],
    [
      'a timeout below 1 s',
      createRequest({}, { idleTimeout: { nanos: 999_999_999 } }),
      ['idle_timeout'],
    ],
    [
      'a timeout beyond 7 days',
      createRequest({}, { idleTimeout: { seconds: 604_801n } }),
      ['idle_timeout'],
    ],
  ] as const satisfies (readonly [string, CreateRequest, readonly string[]])[]
).map(([name, request, fields]): Case => [
  `CreateImage with ${name}`,
  ({ images }) => images.createImage(request),
  invalid(...fields),
]);
