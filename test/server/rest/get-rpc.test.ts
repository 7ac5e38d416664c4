import { create, toJsonString } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { createConnectTransport as createWebTransport } from '@connectrpc/connect-web';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  CreateImageRequestSchema,
  ImageService,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { failRead, makeSnapshot, sharedService, type MadeTask } from './fixtures.ts';

const origin = 'https://console.example.com';

/** What a page of another origin sends with a fetch. */
const browser = {
  origin,
  accept: '*/*',
  'accept-encoding': 'gzip, deflate, br',
  'sec-fetch-mode': 'cors',
};

const service = sharedService({ DARKROOM_CORS_ORIGINS: origin });
let made: MadeTask;
beforeAll(async () => {
  made = await makeSnapshot(service());
  await failRead(service(), made, false);
});

/** The RPC as a plain GET: the request stands in the query, as JSON. */
function get(
  method: string,
  request: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  const query = new URLSearchParams({
    connect: 'v1',
    encoding: 'json',
    message: JSON.stringify(request),
  });
  const url = `${service().process.url}/darkroom.v1.${method}?${query.toString()}`;
  return fetch(url, { headers: { ...browser, ...headers } });
}

describe('a plain GET', () => {
  test('calls every RPC that only reads', async () => {
    const { taskId, imageId } = made;
    for (const [method, request, answer] of [
      ['ImageService/GetImage', { imageId }, { image: { id: imageId } }],
      ['ImageService/ListImages', {}, { images: [{ id: imageId }] }],
      ['TaskService/GetTask', { taskId }, { task: { id: taskId, imageId } }],
      ['TaskService/ListTasks', { filter: { imageId } }, { tasks: [{ id: taskId }] }],
      ['TaskService/ListFaults', { taskId }, { faults: [{ reason: 'DISK_READ_FAILED' }] }],
      [
        'TaskService/ListTaskEvents',
        { taskId },
        { events: [{ revision: '1' }, { revision: '2' }] },
      ],
    ] as const) {
      const response = await get(method, request);
      expect([method, response.status]).toEqual([method, 200]);
      expect(response.headers.get('content-type')).toBe('application/json');
      expect(response.headers.get('access-control-allow-origin')).toBe(origin);
      expect(await response.json()).toMatchObject(answer);
      // One thing may be kept and asked about; a list is out of date at once.
      const isOne = method.includes('/Get');
      expect([method, response.headers.get('cache-control')]).toEqual([
        method,
        isOne ? 'private, no-cache' : 'no-store',
      ]);
      expect(response.headers.has('etag')).toBe(isOne);
    }
  });

  test.each([
    ['TaskService/GetTask', 'taskId'],
    ['ImageService/GetImage', 'imageId'],
  ] as const)('of %s is answered in full only where something changed', async (method, field) => {
    const task = await makeSnapshot(service());
    const request = { [field]: task[field] };
    const etag = (await get(method, request)).headers.get('etag') ?? '';
    for (const [ifNoneMatch, status] of [
      [etag, 304],
      [etag.replace('W/', ''), 304],
      [`"other", ${etag}`, 304],
      ['*', 304],
      ['W/"other"', 200],
      [etag.replaceAll('"', ''), 200],
    ] as const) {
      const response = await get(method, request, { 'if-none-match': ifNoneMatch });
      expect([ifNoneMatch, response.status]).toEqual([ifNoneMatch, status]);
      expect(response.headers.get('etag')).toBe(etag);
      expect(response.headers.get('cache-control')).toBe('private, no-cache');
      expect(response.headers.has('content-type')).toBe(status === 200);
      expect((await response.text()) === '').toBe(status === 304);
    }
    // A fault that the task survives is told with the image, whose own etag it leaves as it is.
    await failRead(service(), task, false);
    const changed = await get(method, request, { 'if-none-match': etag });
    expect(changed.status).toBe(200);
    expect(await changed.text()).toContain('DISK_READ_FAILED');
  });

  test('may be made by pages of other origins, who see what they need', async () => {
    const { taskId } = made;
    const response = await get('TaskService/GetTask', { taskId });
    const exposed = response.headers.get('access-control-expose-headers')?.split(', ');
    expect(exposed).toEqual(expect.arrayContaining(['ETag', 'Link', 'Location', 'Retry-After']));
    const preflight = await fetch(`${service().process.url}/darkroom.v1.TaskService/GetTask`, {
      method: 'OPTIONS',
      headers: {
        ...browser,
        'access-control-request-method': 'GET',
        'access-control-request-headers': 'if-none-match',
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-methods')).toContain('GET');
    expect(preflight.headers.get('access-control-allow-headers')).toContain('If-None-Match');
  });

  test('is what Connect’s client for browsers sends, if told to', async () => {
    const sent: string[] = [];
    const transport = createWebTransport({
      baseUrl: service().process.url,
      useHttpGet: true,
      fetch: (url, init) => {
        sent.push(init?.method ?? 'GET');
        return fetch(url, init);
      },
    });
    const { task } = await createClient(TaskService, transport).getTask({ taskId: made.taskId });
    expect([task?.id, sent]).toEqual([made.taskId, ['GET']]);
  });

  test('keeps no error, and calls nothing that changes something', async () => {
    const missing = await get('TaskService/GetTask', { taskId: made.imageId });
    expect([missing.status, missing.headers.get('cache-control')]).toEqual([404, 'no-store']);
    expect(await missing.json()).toMatchObject({ code: 'not_found' });
    const change = await get('TaskService/CancelTask', { taskId: made.taskId });
    expect([change.status, change.headers.get('allow')]).toEqual([405, 'POST']);
  });

  test('alone is conditional: a POST of the same RPC is answered in full', async () => {
    const url = `${service().process.url}/darkroom.v1.TaskService/GetTask`;
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'if-none-match': '*' },
      body: JSON.stringify({ taskId: made.taskId }),
    });
    expect([response.status, response.headers.get('cache-control')]).toEqual([200, null]);
  });
});

test('CreateImage says in HTTP’s words too where its task can be followed', async () => {
  const { url } = service().process;
  const source = { case: 'upload', value: {} } as const;
  const request = create(CreateImageRequestSchema, { image: { name: 'n', diskFormat: 1 }, source });
  const response = await fetch(`${url}/darkroom.v1.ImageService/CreateImage`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: toJsonString(CreateImageRequestSchema, request),
  });
  const { taskPath } = (await response.json()) as { taskPath: string };
  expect(taskPath).toMatch(/^\/v2\/tasks\/[0-9a-f-]{36}$/);
  expect(response.headers.get('link')).toBe(`<${taskPath}>; rel="monitor"`);
  expect(response.headers.get('location')).toBe(taskPath);
  expect((await fetch(url + taskPath)).status).toBe(200);

  for (const transport of [
    createGrpcTransport({ baseUrl: url }),
    createConnectTransport({ baseUrl: url, httpVersion: '2' }),
  ]) {
    const header: Headers[] = [];
    const answer = await createClient(ImageService, transport).createImage(request, {
      onHeader: (headers) => header.push(headers),
    });
    expect(header[0]?.get('link')).toBe(`<${answer.taskPath}>; rel="monitor"`);
  }
});
