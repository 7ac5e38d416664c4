import { randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Image_Outlook, Image_State } from '../../../gen/darkroom/v1/image_pb.ts';
import { Task_State, Task_Type } from '../../../gen/darkroom/v1/task_pb.ts';
import { makeUpload, sharedService } from './fixtures.ts';
import {
  ask,
  expectBytes,
  holdPut,
  imageState,
  put,
  putChunked,
  untilStored,
} from './put-fixtures.ts';

const MiB = 1024 * 1024;
const service = sharedService({
  DARKROOM_IMPORT_SPECIAL_ADDRESSES: '127.0.0.0/8',
  DARKROOM_IMPORT_PORTS: '*',
  DARKROOM_IMPORT_MAX_TRIES: '1',
});
const bytes = randomBytes(2 * MiB + 77);

/** Serves the bytes at `/image`, and nothing anywhere else. */
const source = createServer((request, response) => {
  response.statusCode = request.url === '/image' ? 200 : 404;
  response.end(request.url === '/image' ? bytes : undefined);
});
let sourceUrl: string;
beforeAll(async () => {
  source.listen(0, '127.0.0.1');
  await once(source, 'listening');
  sourceUrl = `http://127.0.0.1:${(source.address() as AddressInfo).port}`;
});
afterAll(() => void source.close());

async function newImage() {
  const { imageId, taskId } = await makeUpload(service());
  const path = `/v2/images/${imageId}`;
  return {
    imageId,
    taskId,
    file: `${path}/file`,
    stage: `${path}/stage`,
    import: `${path}/import`,
  };
}

function importBy(path: string, method: object, more: object = {}) {
  const body = JSON.stringify({ method, ...more });
  return ask(service(), 'POST', path, { 'content-type': 'application/json' }, body);
}

const direct = { name: 'glance-direct' };

async function untilActive(imageId: string): Promise<void> {
  await expect
    .poll(async () => (await imageState(service(), imageId))?.state, { timeout: 30_000 })
    .toBe(Image_State.ACTIVE);
}

describe('what is staged', () => {
  test('becomes the image when it is imported, and not before', async () => {
    const image = await newImage();
    expect(await putChunked(service(), image.stage, bytes)).toMatchObject({
      status: 204,
      headers: { 'upload-offset': String(bytes.length), 'upload-complete': '?1' },
    });
    expect(await imageState(service(), image.imageId)).toMatchObject({ state: Image_State.QUEUED });
    const imported = await importBy(image.import, direct);
    expect(imported).toMatchObject({
      status: 202,
      body: '',
      headers: {
        location: `/v2/tasks/${image.taskId}`,
        link: `</v2/tasks/${image.taskId}>; rel="monitor"`,
      },
    });
    await untilActive(image.imageId);
    await expectBytes(service(), image.imageId, bytes);
    const shown = await ask(service(), 'GET', `/v2/tasks/${image.taskId}`);
    expect(JSON.parse(shown.body)).toMatchObject({
      status: 'success',
      request_id: imported.headers['x-openstack-request-id'],
      input: { import_req: { method: direct } },
    });
    expect(await importBy(image.import, direct)).toMatchObject({ status: 409 });
  });

  test('is not imported where it broke off, and can be gone on with', async () => {
    const image = await newImage();
    const held = holdPut(service(), image.stage);
    await held.send(bytes.subarray(0, MiB));
    await untilStored(service(), image.file, MiB);
    expect(await importBy(image.import, direct)).toMatchObject({
      status: 409,
      reason: 'WRITER_ACTIVE',
    });
    held.cut();
    await expect
      .poll(async () => (await importBy(image.import, direct)).reason, { timeout: 20_000 })
      .toBe('IMAGE_STATE_INVALID');
    expect(await putChunked(service(), image.stage, bytes.subarray(MiB))).toMatchObject({
      status: 409,
      reason: 'SIZE_UNSTATED',
    });
    const rest = { 'content-range': `bytes ${MiB}-${bytes.length - 1}/${bytes.length}` };
    expect(await put(service(), image.stage, bytes.subarray(MiB), rest)).toMatchObject({
      status: 204,
    });
    expect(await importBy(image.import, direct)).toMatchObject({ status: 202 });
    await untilActive(image.imageId);
    await expectBytes(service(), image.imageId, bytes);
  });

  test('is not made the image by a PUT', async () => {
    const image = await newImage();
    await put(service(), image.stage, bytes);
    expect(await put(service(), image.file, bytes)).toMatchObject({ status: 409 });
  });

  test('is nothing without a stage', async () => {
    const image = await newImage();
    expect(await importBy(image.import, direct)).toMatchObject({
      status: 409,
      reason: 'IMAGE_STATE_INVALID',
    });
  });
});

describe('web-download', () => {
  test('has the service fetch the image, by a task that is named', async () => {
    const image = await newImage();
    const { status, headers } = await importBy(image.import, {
      name: 'web-download',
      uri: `${sourceUrl}/image`,
    });
    expect(status).toBe(202);
    const taskId = headers['location']?.slice('/v2/tasks/'.length) ?? '';
    expect(taskId).not.toBe(image.taskId);
    await untilActive(image.imageId);
    await expectBytes(service(), image.imageId, bytes);
    expect((await service().tasks.getTask({ taskId })).task).toMatchObject({
      type: Task_Type.IMPORT,
      state: Task_State.SUCCEEDED,
      retryOf: image.taskId,
    });
    expect((await service().tasks.getTask({ taskId: image.taskId })).task).toMatchObject({
      state: Task_State.CANCELLED,
      retriedBy: taskId,
    });
  });

  test('tells why it failed, and gives way to an upload', async () => {
    const image = await newImage();
    await put(service(), image.file, bytes.subarray(0, 1000), { 'content-range': 'bytes 0-999/*' });
    const { headers } = await importBy(image.import, {
      name: 'web-download',
      uri: `${sourceUrl}/none`,
    });
    const taskId = headers['location']?.slice('/v2/tasks/'.length) ?? '';
    await expect
      .poll(async () => (await service().tasks.getTask({ taskId })).task?.state, {
        timeout: 30_000,
      })
      .toBe(Task_State.FAILED);
    expect(await imageState(service(), image.imageId)).toMatchObject({
      outlook: Image_Outlook.NOT_COMING,
      lastFault: { reason: 'SOURCE_HTTP_STATUS' },
    });
    expect(await put(service(), image.file, bytes)).toMatchObject({ status: 204 });
    await expectBytes(service(), image.imageId, bytes);
  });

  test('is refused where it may not reach, while somebody sends, and for an image that has its bytes', async () => {
    const image = await newImage();
    const web = (uri: string) => importBy(image.import, { name: 'web-download', uri });
    expect(await web('http://169.254.169.254/')).toMatchObject({
      status: 403,
      reason: 'SOURCE_FORBIDDEN',
    });
    expect(await web('ftp://127.0.0.1/image')).toMatchObject({ status: 400 });
    const held = holdPut(service(), image.file);
    await held.send(bytes.subarray(0, MiB));
    await untilStored(service(), image.file, MiB);
    expect(await web(`${sourceUrl}/image`)).toMatchObject({ status: 409, reason: 'WRITER_ACTIVE' });
    await held.send(bytes.subarray(MiB));
    held.end();
    expect(await held.answer).toMatchObject({ status: 204 });
    expect(await web(`${sourceUrl}/image`)).toMatchObject({
      status: 409,
      reason: 'IMAGE_STATE_INVALID',
    });
  });
});

test('copy-image finds every image in the one store', async () => {
  const image = await newImage();
  const copy = { name: 'copy-image' };
  expect(await importBy(image.import, copy, { all_stores: true })).toMatchObject({ status: 409 });
  await put(service(), image.file, bytes);
  expect(await importBy(image.import, copy, { all_stores: true })).toMatchObject({ status: 202 });
  expect(await importBy(image.import, copy, { stores: ['file'] })).toMatchObject({ status: 400 });
  expect(await importBy(image.import, copy, { stores: ['ceph'] })).toMatchObject({ status: 409 });
});

test.each<[string, unknown]>([
  ['no method', {}],
  ['a method without a name', { method: {} }],
  ['an unknown method', { method: { name: 'glance-download' } }],
  ['a download from nowhere', { method: { name: 'web-download' } }],
  ['stores that are none', { method: direct, stores: 'file' }],
  ['all stores that are no flag', { method: direct, all_stores: 'yes' }],
  ['a list', []],
])('an import with %s is refused', async (_, body) => {
  const image = await newImage();
  const headers = { 'content-type': 'application/json' };
  expect(await ask(service(), 'POST', image.import, headers, JSON.stringify(body))).toMatchObject({
    status: 400,
    reason: 'FIELD_INVALID',
  });
});

describe('a task of Glance’s', () => {
  const create = (task: object) =>
    ask(
      service(),
      'POST',
      '/v2/tasks',
      { 'content-type': 'application/json' },
      JSON.stringify(task),
    );

  test('makes an image and imports it', async () => {
    const { status, headers, body } = await create({
      type: 'import',
      input: {
        import_from: `${sourceUrl}/image`,
        import_from_format: 'raw',
        image_properties: { name: 'fetched', os_distro: 'debian' },
      },
    });
    expect(status).toBe(201);
    const task = JSON.parse(body) as { id: string; image_id: string; type: string };
    expect(task).toMatchObject({ type: 'import' });
    expect(headers['location']).toBe(`/v2/tasks/${task.id}`);
    await untilActive(task.image_id);
    await expectBytes(service(), task.image_id, bytes);
    expect(await imageState(service(), task.image_id)).toMatchObject({
      name: 'fetched',
      properties: { os_distro: 'debian' },
    });
  });

  test.each<[string, object]>([
    ['of another type', { type: 'export', input: {} }],
    ['from nowhere', { type: 'import', input: { import_from_format: 'raw' } }],
    [
      'to another format',
      {
        type: 'import',
        input: {
          import_from: 'http://127.0.0.1/',
          import_from_format: 'qcow2',
          image_properties: { disk_format: 'raw' },
        },
      },
    ],
    ['of nothing', { type: 'import' }],
  ])('%s is refused', async (_, task) => {
    expect(await create(task)).toMatchObject({ status: 400, reason: 'FIELD_INVALID' });
  });

  test('that may not reach its source is refused', async () => {
    const input = { import_from: 'http://169.254.169.254/', import_from_format: 'raw' };
    expect(await create({ type: 'import', input })).toMatchObject({ status: 403 });
  });
});

test('an image tells how its import stands, and in which store it is', async () => {
  const image = await newImage();
  const shown = async () =>
    JSON.parse((await ask(service(), 'GET', `/v2/images/${image.imageId}`)).body) as object;
  expect(await shown()).toMatchObject({ status: 'queued' });
  const held = holdPut(service(), image.stage);
  await held.send(bytes.subarray(0, MiB));
  await untilStored(service(), image.file, MiB);
  expect(await shown()).toMatchObject({ status: 'uploading' });
  await held.send(bytes.subarray(MiB));
  held.end();
  await held.answer;
  expect(await shown()).toMatchObject({ status: 'uploading' });
  expect(await shown()).not.toHaveProperty('stores');
  await importBy(image.import, direct);
  await untilActive(image.imageId);
  expect(await shown()).toMatchObject({ status: 'active', stores: 'file' });
  const failing = await newImage();
  await importBy(failing.import, { name: 'web-download', uri: `${sourceUrl}/none` });
  await expect
    .poll(
      async () =>
        JSON.parse((await ask(service(), 'GET', `/v2/images/${failing.imageId}`)).body) as object,
      { timeout: 30_000 },
    )
    .toMatchObject({
      status: 'queued',
      os_darkroom_outlook: 'not_coming',
      os_glance_failed_import: 'file',
      os_glance_importing_to_stores: '',
    });
});

test('an image is not taken out of the one store that has it', async () => {
  const image = await newImage();
  const from = (store: string) => ask(service(), 'DELETE', `/v2/stores/${store}/${image.imageId}`);
  expect(await from('file')).toMatchObject({ status: 409 });
  await put(service(), image.file, bytes);
  expect(await from('file')).toMatchObject({ status: 403 });
  expect(await from('ceph')).toMatchObject({ status: 409 });
  await expectBytes(service(), image.imageId, bytes);
});

test('an import into an image that is not there finds nothing', async () => {
  const path = `/v2/images/${randomUUID()}/import`;
  for (const method of [direct, { name: 'web-download', uri: `${sourceUrl}/image` }]) {
    expect(await importBy(path, method)).toMatchObject({ status: 404, reason: 'IMAGE_NOT_FOUND' });
  }
});

test('discovery tells of the ways to import, of the store, and of what the project uses', async () => {
  const get = async (path: string) =>
    JSON.parse((await ask(service(), 'GET', path)).body) as object;
  expect(await get('/v2/info/import')).toMatchObject({
    'import-methods': { type: 'array', value: ['glance-direct', 'web-download', 'copy-image'] },
  });
  expect(await get('/v2/info/stores')).toMatchObject({ stores: [{ id: 'file', default: 'true' }] });
  expect(await get('/v2/info/stores/detail')).toMatchObject({
    stores: [{ id: 'file', type: 'file', properties: { thin_provisioning: true } }],
  });
  const limit = expect.any(Number) as number;
  expect(await get('/v2/info/usage')).toEqual({
    usage: {
      image_size_total: { limit: -1, usage: limit },
      image_stage_total: { limit: -1, usage: limit },
      image_count_total: { limit: -1, usage: limit },
      image_count_uploading: { limit, usage: limit },
    },
  });
});
