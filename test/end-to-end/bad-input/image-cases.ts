import { readAll } from '../../support/failures.ts';
import { createRequest, invalid, noSuchId, type Case } from './case.ts';

const forbidden = { code: 'PermissionDenied', reason: 'SOURCE_FORBIDDEN' } as const;

function url(value: string) {
  return { from: { case: 'url', value } } as const;
}

function image(value: string) {
  return { from: { case: 'imageId', value } } as const;
}

/** What else can be wrong with calls of images. */
export const imageCases: Case[] = [
  ...(
    [
      ['nothing', {}, invalid('copy_from')],
      ['what is no URL', url('example'), invalid('copy_from.url')],
      ['a URL with a password', url('http://ann:secret@example.com/'), invalid('copy_from.url')],
      ['this machine', url('http://127.0.0.1/'), forbidden],
      ['the cloud’s metadata', url('http://169.254.169.254/latest'), forbidden],
      ['this machine in disguise', url('http://0x7f000001/'), forbidden],
      ['another port', url('http://example.com:22/'), forbidden],
      [
        'a file',
        url('file:///etc/passwd'),
        { code: 'InvalidArgument', reason: 'SOURCE_SCHEME_UNSUPPORTED' },
      ],
      ['an image that there is not', image(noSuchId), { code: 'NotFound' }],
      ['what is no image', image('x'), invalid('copy_from.image_id')],
      [
        'a URL, with all else wrong',
        {
          ...url('http://example.com/'),
          sha256: 'x',
          sha512: 'y',
          totalSize: -1n,
          maxSizeBytes: -1n,
          headers: { Host: 'secret', 'a b': 'secret' },
        },
        invalid(
          'copy_from.total_size',
          'copy_from.sha256',
          'copy_from.sha512',
          'copy_from.max_size_bytes',
          'copy_from.headers["Host"]',
          'copy_from.headers["a b"]',
        ),
      ],
      [
        'an image, with headers',
        { ...image(noSuchId), headers: { a: 'b' } },
        invalid('copy_from.headers'),
      ],
    ] as const
  ).map(([name, value, expected]): Case => [
    `CreateImage from ${name}`,
    ({ images }) => images.createImage(createRequest({}, { source: { case: 'copyFrom', value } })),
    expected,
  ]),
  [
    'CreateImage with the request id of another request',
    async ({ images }) => {
      await images.createImage(createRequest({ name: 'one' }, { requestId: 'taken' }));
      await images.createImage(createRequest({ name: 'two' }, { requestId: 'taken' }));
    },
    { code: 'AlreadyExists', reason: 'REQUEST_ID_REUSED' },
  ],
  [
    'ListImages with pages below zero',
    ({ images }) => images.listImages({ pageSize: -1 }),
    invalid('page_size'),
  ],
  [
    'ListImages with states that are none',
    ({ images }) => images.listImages({ filter: { states: [0, 99 as 1] } }),
    invalid('filter.states', 'filter.states'),
  ],
  ...['garbage', 'AAAA', '\0', '!'.repeat(9000)].map((pageToken): Case => [
    `ListImages with the page token ${JSON.stringify(pageToken.slice(0, 10))}`,
    ({ images }) => images.listImages({ pageToken }),
    { code: 'InvalidArgument', reason: 'PAGE_TOKEN_INVALID', fields: ['page_token'] },
  ]),
  [
    'ListImages with the page token of another order',
    ({ images }, { imagesToken }) => images.listImages({ pageToken: imagesToken, orderBy: 2 }),
    { code: 'InvalidArgument', reason: 'PAGE_TOKEN_INVALID', fields: ['page_token'] },
  ],
  [
    'UpdateImage without an id',
    ({ images }) => images.updateImage({ updateMask: { paths: ['name'] }, image: { name: 'n' } }),
    invalid('image.id'),
  ],
  [
    'UpdateImage of an image that there is not',
    ({ images }) =>
      images.updateImage({ image: { id: noSuchId, name: 'n' }, updateMask: { paths: ['name'] } }),
    { code: 'NotFound', reason: 'IMAGE_NOT_FOUND' },
  ],
  ...[[], ['*'], ['no_such_field'], ['state'], ['name.first'], ['a\0b']].map((paths): Case => [
    `UpdateImage with the mask ${JSON.stringify(paths)}`,
    ({ images }, { queued }) =>
      images.updateImage({ image: { id: queued.imageId }, updateMask: { paths } }),
    invalid('update_mask'),
  ]),
  [
    'UpdateImage with a stale etag',
    ({ images }, { queued }) =>
      images.updateImage({
        image: { id: queued.imageId, name: 'new', etag: 'stale' },
        updateMask: { paths: ['name'] },
      }),
    { code: 'Aborted', reason: 'ETAG_MISMATCH' },
  ],
  [
    'UpdateImage of a deleted image',
    ({ images }, { deleted }) =>
      images.updateImage({
        image: { id: deleted.imageId, name: 'new' },
        updateMask: { paths: ['name'] },
      }),
    { code: 'FailedPrecondition', reason: 'IMAGE_STATE_INVALID' },
  ],
  [
    'DeleteImage with a stale etag',
    ({ images }, { queued }) => images.deleteImage({ imageId: queued.imageId, etag: 'stale\0' }),
    { code: 'Aborted', reason: 'ETAG_MISMATCH' },
  ],
  [
    'DownloadImage of an image that has no bytes yet',
    ({ images }, { queued }) => readAll(images.downloadImage({ imageId: queued.imageId })),
    { code: 'FailedPrecondition', reason: 'IMAGE_STATE_INVALID' },
  ],
  [
    'DownloadImage from beyond the end',
    ({ images }, { active }) =>
      readAll(images.downloadImage({ imageId: active.imageId, offset: 101n })),
    { code: 'OutOfRange', reason: 'OFFSET_OUT_OF_RANGE' },
  ],
  [
    'DownloadImage of a range that is none',
    ({ images }, { active }) =>
      readAll(images.downloadImage({ imageId: active.imageId, offset: -1n, length: 0n })),
    invalid('offset', 'length'),
  ],
];
