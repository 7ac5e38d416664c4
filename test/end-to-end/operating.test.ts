import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
  type HealthCheckResponse,
} from '../../gen/grpc/health/v1/health_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { administer } from '../support/database-cluster.ts';
import { failureOf } from '../support/failures.ts';
import { holdUpload, patience, untilCommitted } from '../support/held-upload.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { createRequest, noSuchId } from './bad-input/case.ts';

const MiB = 1024 * 1024;

/** The origin whose pages may call. */
const consoleOrigin = 'https://console.example.com';
let service: RunningService;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({ DARKROOM_CORS_ORIGINS: consoleOrigin }, cleanUps.defer);
  return cleanUps.run;
});

function get(path: string, init?: RequestInit): Promise<Response> {
  return fetch(`${service.process.url}${path}`, init);
}

function logLine(requestId: string | null) {
  return service.process.log.find((line) => line['requestId'] === requestId);
}

describe('every answer carries the id under which the log tells of it', () => {
  const getImage = '/darkroom.v1.ImageService/GetImage';
  const json = { method: 'POST', headers: { 'content-type': 'application/json' } };

  test.each([
    ['a good call', '/darkroom.v1.TaskService/ListTasks', { ...json, body: '{}' }, 'OK'],
    ['one that is refused', getImage, { ...json, body: '{"imageId":"x"}' }, 'INVALID_ARGUMENT'],
    ['one that cannot be read', getImage, { ...json, body: '{' }, 'INVALID_ARGUMENT'],
    ['one of plain HTTP', '/healthz', {}, 'OK'],
    ['one of nothing', '/no/such/place', {}, 404],
    [
      'a preflight',
      getImage,
      {
        method: 'OPTIONS',
        headers: { origin: consoleOrigin, 'access-control-request-method': 'POST' },
      },
      204,
    ],
    [
      'one of a page that may not call',
      getImage,
      { ...json, body: '{}', headers: { ...json.headers, origin: 'http://a.test' } },
      'PERMISSION_DENIED',
    ],
    [
      'one of plain HTTP by such a page',
      '/healthz',
      { headers: { origin: 'http://a.test' } },
      'PERMISSION_DENIED',
    ],
  ])('%s', async (_, path, init, code) => {
    const requestId = (await get(path, init)).headers.get('x-request-id');
    expect(requestId).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
    await expect.poll(() => logLine(requestId), patience).toMatchObject({ code });
  });

  test('and a caller may choose it', async () => {
    const headers = { ...json.headers, 'x-request-id': 'chosen 1' };
    const body = JSON.stringify({ imageId: noSuchId });
    const answer = await get(getImage, { method: 'POST', headers, body });
    expect(answer.headers.get('x-request-id')).toBe('chosen 1');
    await expect
      .poll(() => logLine('chosen 1'), patience)
      .toMatchObject({
        code: 'NOT_FOUND',
        reason: 'IMAGE_NOT_FOUND',
        durationMs: expect.any(Number),
      });
  });
});

test('health follows the database, and the service is whole again once the database is back', async () => {
  const transport = createConnectTransport({ baseUrl: service.process.url, httpVersion: '2' });
  const health = createClient(Health, transport);
  const watch = health.watch({ service: ImageService.typeName })[Symbol.asyncIterator]();
  const next = async (): Promise<HealthCheckResponse> => (await watch.next()).value!;
  expect(await next()).toMatchObject({ status: ServingStatus.SERVING });
  expect((await get('/readyz')).status).toBe(200);

  const { task } = await service.images.createImage(createRequest());
  const upload = holdUpload(service.images, task!.id);
  upload.send(0, Buffer.alloc(MiB, 'before'));
  await untilCommitted(service, task!.id, MiB);

  await using database = await takeAway(service.databaseUrl);
  expect(await next()).toMatchObject({ status: ServingStatus.NOT_SERVING });
  expect(await health.check({})).toMatchObject({ status: ServingStatus.NOT_SERVING });
  const ready = await get('/readyz');
  expect(ready.status).toBe(503);
  expect(await ready.json()).toEqual({ status: 'NOT_SERVING', reason: 'DATABASE_UNAVAILABLE' });
  expect((await get('/healthz')).status).toBe(200);
  const away = { code: 'Unavailable', reason: 'DATABASE_UNAVAILABLE', hasRetryInfo: true };
  expect(await failureOf(service.images.listImages({}))).toMatchObject(away);
  expect(await failureOf(service.images.createImage(createRequest()))).toMatchObject(away);
  expect(await failureOf(service.images.resumeUpload({ taskId: task!.id }))).toMatchObject(away);

  await database.giveBack();
  expect(await next()).toMatchObject({ status: ServingStatus.SERVING });
  expect((await get('/readyz')).status).toBe(200);
  upload.send(MiB, Buffer.alloc(MiB, 'after'));
  upload.finish(2 * MiB);
  expect(await upload.answer).toMatchObject({
    complete: true,
    task: { state: Task_State.SUCCEEDED, faultCount: 0 },
  });
  await watch.return?.();
});

/** Has PostgreSQL refuse all connections to a database, and cut those that there are. */
async function takeAway(url: string): Promise<AsyncDisposable & { giveBack(): Promise<void> }> {
  const name = new URL(url).pathname.slice(1);
  const clusterUrl = inject('clusterUrl');
  const allow = (allowed: boolean): Promise<void> =>
    administer(clusterUrl, `alter database ${name} allow_connections ${allowed}`);
  await allow(false);
  await administer(
    clusterUrl,
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`,
  );
  return { giveBack: () => allow(true), [Symbol.asyncDispose]: () => allow(true) };
}
