import { create, fromJson, type JsonValue } from '@bufbuild/protobuf';
import { createHandlerContext, type HandlerContext } from '@connectrpc/connect';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import {
  Image_ContainerFormat,
  Image_DiskFormat,
  Image_Outlook,
  Image_State,
  Image_Visibility,
} from '../../../gen/darkroom/v1/image_pb.ts';
import {
  CreateImageRequestSchema,
  DeleteImageRequestSchema,
  GetImageRequestSchema,
  ImageOrder,
  ImageService as ImageServiceDescriptor,
  ListImagesRequestSchema,
  UpdateImageRequestSchema,
  type CreateImageRequest,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import { Task_State, Task_Type } from '../../../gen/darkroom/v1/task_pb.ts';
import { readSettings } from '../../../src/config/settings.ts';
import type { Caller } from '../../../src/access/caller.ts';
import type { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { ReachPolicy } from '../../../src/imports/reach-policy.ts';
import { ImageService } from '../../../src/images/image-service.ts';
import { imageHandlers } from '../../../src/server/rpc/image-handlers.ts';
import { contextValuesWith } from '../../../src/server/transport/request-context.ts';
import { useImages } from '../../images/images-world.ts';
import { testSecretKeys } from '../../support/secret-keys.ts';

const openImages = useImages();

const never = new AbortController().signal;

function contextOf(role: Caller['role'] = 'member'): HandlerContext {
  return createHandlerContext({
    service: ImageServiceDescriptor,
    method: ImageServiceDescriptor.method.getImage,
    protocolName: 'connect',
    requestMethod: 'POST',
    url: 'http://localhost/',
    contextValues: contextValuesWith({
      requestId: 'test',
      knownCaller: undefined,
      caller: { projectId: 'p', userId: 'u', role },
      actIn() {},
      peer: '127.0.0.1:1',
      logger: pino({ level: 'silent' }),
      drainSignal: never,
      endSignal: never,
      bytesReceived: () => 0,
      outcome: {},
    }),
  });
}

async function openHandlers() {
  const { database } = openImages();
  const settings = readSettings({});
  const handlers = imageHandlers(
    new ImageService({
      database,
      settings,
      reach: new ReachPolicy(settings),
      secretKeys: testSecretKeys,
    }),
    settings,
  );
  const createImage = async (request: CreateImageRequest) => {
    const { image, task, taskPath, limits } = await handlers.createImage(request, contextOf());
    return { image, task, taskPath, limits };
  };
  return { database, handlers, createImage };
}

const createRequest = (json: JsonValue): CreateImageRequest =>
  fromJson(CreateImageRequestSchema, json);

async function fieldsOf(call: () => unknown): Promise<string[]> {
  try {
    await call();
  } catch (error) {
    return (error as DarkroomError).fieldViolations.map(({ field }) => field);
  }
  return [];
}

test('an image and its task are told as the contract has them', async () => {
  const { createImage } = await openHandlers();
  const { image, task, taskPath, limits } = await createImage(
    createRequest({
      image: {
        id: 'ignored',
        state: 'STATE_ACTIVE',
        name: 'n',
        diskFormat: 'DISK_FORMAT_QCOW2',
        containerFormat: 'CONTAINER_FORMAT_OVA',
        minDiskBytes: '9007199254740991',
        properties: { a: 'b' },
        tags: ['t'],
        visibility: 'VISIBILITY_SHARED',
      },
      snapshot: { totalSize: '7', labels: { instance: 'i' } },
      requestId: 'r',
      idleTimeout: '1.5s',
    }),
  );
  expect(image).toMatchObject({
    $typeName: 'darkroom.v1.Image',
    projectId: 'p',
    name: 'n',
    diskFormat: Image_DiskFormat.QCOW2,
    containerFormat: Image_ContainerFormat.OVA,
    state: Image_State.QUEUED,
    outlook: Image_Outlook.EXPECTED,
    sha256: '',
    minDiskBytes: 9_007_199_254_740_991n,
    properties: { a: 'b' },
    tags: ['t'],
    visibility: Image_Visibility.SHARED,
    latestTask: task?.id,
  });
  expect(image?.sizeBytes).toBeUndefined();
  expect(image?.lastFault).toBeUndefined();
  expect(task).toMatchObject({
    type: Task_Type.SNAPSHOT,
    state: Task_State.PENDING,
    createdBy: 'u',
    requestId: 'r',
    labels: { instance: 'i' },
    progress: { bytesDone: 0n, bytesTotal: 7n },
    revision: 1n,
    retryOf: '',
  });
  expect(taskPath).toBe(`/v2/tasks/${task?.id}`);
  expect(limits).toMatchObject({
    maxChunkBytes: 4_194_304,
    recommendedChunkBytes: 1_048_576,
    maxImageBytes: 2n ** 44n,
    streamIdleTimeout: { seconds: 60n, nanos: 0 },
  });
});

test.each<[string, JsonValue, string[]]>([
  ['nothing at all', {}, ['source']],
  [
    'numbers beyond 2^53 - 1',
    {
      image: {
        name: 'n',
        diskFormat: 'DISK_FORMAT_RAW',
        minDiskBytes: '9007199254740992',
        minRamBytes: '-9223372036854775808',
      },
      upload: { totalSize: '9223372036854775807' },
    },
    ['image.min_disk_bytes', 'image.min_ram_bytes', 'upload.total_size'],
  ],
  [
    'enum values that there are not',
    { image: { name: 'n', diskFormat: 99, containerFormat: -1, visibility: 5 }, upload: {} },
    ['image.disk_format', 'image.container_format', 'image.visibility'],
  ],
  [
    'a timeout out of range',
    { image: { name: 'n', diskFormat: 1 }, upload: {}, idleTimeout: '604800.000000001s' },
    ['idle_timeout'],
  ],
])('an image from %s is refused', async (_, json, fields) => {
  const { createImage } = await openHandlers();
  expect(await fieldsOf(() => createImage(createRequest(json)))).toEqual(fields);
});

test('a property with the name of a prototype comes back', async () => {
  const { handlers, createImage } = await openHandlers();
  const properties = JSON.parse('{"__proto__":"x","constructor":"y"}') as JsonValue;
  const { image } = await createImage(
    createRequest({ image: { name: 'n', diskFormat: 1, properties }, upload: {} }),
  );
  const { image: read } = await handlers.getImage(
    create(GetImageRequestSchema, { imageId: image?.id ?? '' }),
    contextOf(),
  );
  expect(new Map(Object.entries(read?.properties ?? {}))).toEqual(
    new Map([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]),
  );
});

test('an update takes the mask’s paths as the wire has them, and as JSON does', async () => {
  const { handlers, createImage } = await openHandlers();
  const { image } = await createImage(
    createRequest({ image: { name: 'n', diskFormat: 1 }, upload: {} }),
  );
  const id = image?.id ?? '';
  const requests = [
    fromJson(UpdateImageRequestSchema, {
      image: { id, minDiskBytes: '1', minRamBytes: '1' },
      updateMask: 'minDiskBytes',
    }),
    create(UpdateImageRequestSchema, {
      image: { id, minDiskBytes: 2n },
      updateMask: { paths: ['min_disk_bytes'] },
    }),
    create(UpdateImageRequestSchema, {
      image: { id, minDiskBytes: 3n },
      updateMask: { paths: ['minDiskBytes'] },
    }),
  ];
  for (const [i, request] of requests.entries()) {
    const answer = await handlers.updateImage(request, contextOf());
    expect(answer.image).toMatchObject({ minDiskBytes: BigInt(i + 1), minRamBytes: 0n });
  }
  expect(
    await fieldsOf(() => handlers.updateImage(create(UpdateImageRequestSchema), contextOf())),
  ).toEqual(['image.id', 'update_mask']);
});

test('the etag comes in the image and in the header of GetImage', async () => {
  const { handlers, createImage } = await openHandlers();
  const { image } = await createImage(
    createRequest({ image: { name: 'n', diskFormat: 1 }, upload: {} }),
  );
  const context = contextOf();
  const request = create(GetImageRequestSchema, { imageId: image?.id ?? '' });
  const { image: read } = await handlers.getImage(request, context);
  expect(read?.etag).toBe(image?.etag);
  expect(context.responseHeader.get('etag')).toBe(`W/"${image?.etag}"`);
});

test('a deleted image tells its last fault; the detail only to operators', async () => {
  const { database, handlers, createImage } = await openHandlers();
  const { image } = await createImage(
    createRequest({ image: { name: 'n', diskFormat: 1 }, upload: {} }),
  );
  const imageId = image?.id ?? '';
  const { image: deleted } = await handlers.deleteImage(
    create(DeleteImageRequestSchema, { imageId }),
    contextOf(),
  );
  expect(deleted).toMatchObject({
    state: Image_State.DELETED,
    outlook: Image_Outlook.NOT_COMING,
    deleteTime: { $typeName: 'google.protobuf.Timestamp' },
    lastFault: { reason: 'IMAGE_DELETED', fatal: true, imageId },
  });
  await database.pool.query(`update faults set detail = 'disk 7'`);
  for (const [role, detail] of [
    ['member', ''],
    ['admin', 'disk 7'],
  ] as const) {
    const request = create(GetImageRequestSchema, { imageId });
    const { image: read } = await handlers.getImage(request, contextOf(role));
    expect(read?.lastFault?.detail).toBe(detail);
  }
});

test('a list is filtered, ordered and cut as asked', async () => {
  const { handlers, createImage } = await openHandlers();
  for (const name of ['b', 'a', 'c', 'x']) {
    await createImage(
      createRequest({
        image: { name, diskFormat: 1, tags: name === 'x' ? [] : ['listed'] },
        upload: {},
      }),
    );
  }
  const request = create(ListImagesRequestSchema, {
    filter: {
      states: [Image_State.QUEUED],
      outlooks: [Image_Outlook.EXPECTED],
      tags: ['listed'],
      createdAfter: { seconds: 1n },
      createdBefore: { seconds: 253_402_300_799n },
    },
    orderBy: ImageOrder.NAME_ASC,
    pageSize: 2,
  });
  const first = await handlers.listImages(request, contextOf());
  expect(first.images?.map(({ name }) => name)).toEqual(['a', 'b']);
  request.pageToken = first.nextPageToken ?? '';
  const second = await handlers.listImages(request, contextOf());
  expect(second.images?.map(({ name }) => name)).toEqual(['c']);
  expect(second.nextPageToken).toBe('');
});

test('a list with values that there are not is refused', async () => {
  const { handlers } = await openHandlers();
  const request = create(ListImagesRequestSchema, {
    filter: {
      states: [Image_State.UNSPECIFIED],
      outlooks: [9 as Image_Outlook],
      createdAfter: { seconds: 2n ** 60n },
      minSizeBytes: 2n ** 60n,
    },
    orderBy: 9 as ImageOrder,
    pageSize: -1,
  });
  expect(await fieldsOf(() => handlers.listImages(request, contextOf()))).toEqual([
    'order_by',
    'page_size',
    'filter.states',
    'filter.outlooks',
    'filter.created_after',
    'filter.min_size_bytes',
  ]);
});
