import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { Database } from '../../../src/database/database.ts';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import type { ImageMembers } from '../../../src/images/image-members.ts';
import type { ImageService } from '../../../src/images/image-service.ts';
import { restRoutes, type RestParts } from '../../../src/server/rest/rest-routes.ts';
import type { DownloadParts } from '../../../src/images/download-image.ts';
import { connectTestDatabase } from '../../support/test-database.ts';
import { makeTask, stranger } from '../../tasks/task-fixtures.ts';
import { startFakeServer } from '../fake-server.ts';
import {
  failRead,
  makeTasksOfAllStates,
  makeUpload,
  sendBytes,
  sharedService,
  type TasksOfAllStates,
} from './fixtures.ts';

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
const service = sharedService();
let tasks: TasksOfAllStates;
beforeAll(async () => {
  tasks = await makeTasksOfAllStates(service());
});

function get(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(service().process.url + path, init);
}

type Json = Record<string, unknown>;

async function read(path: string): Promise<Json> {
  const response = await get(path);
  expect([path, response.status]).toEqual([path, 200]);
  return (await response.json()) as Json;
}

async function idsOf(path: string): Promise<unknown[]> {
  return ((await read(path))['tasks'] as Json[]).map(({ id }) => id);
}

describe('a task', () => {
  test('has Glance’s fields and words in each state', async () => {
    const { pending, running, succeeded, failed, cancelled } = tasks;
    expect(await read(`/v2/tasks/${pending.taskId}`)).toEqual({
      id: pending.taskId,
      type: 'snapshot',
      status: 'pending',
      owner: 'default',
      user_id: 'default',
      request_id: 'request-1',
      image_id: pending.imageId,
      input: {
        image_id: pending.imageId,
        total_size: 10,
        sha256: 'ab'.repeat(32),
        labels: { instance: '8b3e' },
      },
      result: null,
      message: '',
      created_at: time,
      updated_at: time,
      expires_at: time,
      self: `/v2/tasks/${pending.taskId}`,
      schema: '/v2/schemas/task',
    });
    expect(await read(`/v2/tasks/${running.taskId}`)).toMatchObject({
      type: 'upload',
      status: 'processing',
      input: { image_id: running.imageId },
      result: null,
      message: '5 bytes are done',
    });
    expect(await read(`/v2/tasks/${succeeded.taskId}`)).toMatchObject({
      status: 'success',
      result: { image_id: succeeded.imageId, size: 5 },
      message: '',
    });
    expect(await read(`/v2/tasks/${failed.taskId}`)).toMatchObject({
      status: 'failure',
      result: null,
      message: 'DISK_READ_FAILED: The disk of the instance could not be read.',
    });
    expect(await read(`/v2/tasks/${cancelled.taskId}`)).toMatchObject({
      status: 'failure',
      message: 'Cancelled by user default: wrong machine',
    });
  });

  test('expires when it would fail, and after its end when its record may go', async () => {
    const live = await read(`/v2/tasks/${tasks.pending.taskId}`);
    const ended = await read(`/v2/tasks/${tasks.failed.taskId}`);
    const seconds = (task: Json, from: string): number =>
      (Date.parse(String(task['expires_at'])) - Date.parse(String(task[from]))) / 1000;
    expect(seconds(live, 'updated_at')).toBe(900);
    expect(seconds(ended, 'updated_at')).toBe(30 * 24 * 3600);
  });

  test('tells of the last fault while it goes on, and of its cancelling after a retry', async () => {
    const task = await makeUpload(service());
    await failRead(service(), task, false);
    expect(await read(`/v2/tasks/${task.taskId}`)).toMatchObject({
      status: 'pending',
      message: 'DISK_READ_FAILED: The disk of the instance could not be read.',
    });
    await service().tasks.cancelTask({ taskId: task.taskId });
    await service().tasks.retryTask({ taskId: task.taskId });
    expect(await read(`/v2/tasks/${task.taskId}`)).toMatchObject({
      status: 'failure',
      message: 'Cancelled by user default',
    });
    expect(await read(`/v2/images/${task.imageId}/tasks`)).toMatchObject({
      tasks: [{ status: 'pending' }, { id: task.taskId }],
    });
  });

  test('keeps from everyone what is for operators', async () => {
    for (const path of [`/v2/tasks/${tasks.failed.taskId}`, '/v2/tasks']) {
      expect(await (await get(path)).text()).not.toContain('sector 7');
    }
  });

  test('has just the fields of the schema', async () => {
    const schema = await read('/v2/schemas/task');
    const { properties } = schema as { properties: Json };
    expect(Object.keys(await read(`/v2/tasks/${tasks.pending.taskId}`)).sort()).toEqual(
      Object.keys(properties).sort(),
    );
    const list = (await read('/v2/schemas/tasks')) as { properties: Json };
    expect(list.properties['tasks']).toEqual({ type: 'array', items: schema });
    expect(Object.keys(list.properties)).toEqual(['tasks', 'first', 'next', 'schema']);
  });

  test('of another project is not there', async () => {
    const database = await Database.connect({
      url: service().databaseUrl,
      poolSize: 1,
      onWarning: () => {},
    });
    const other = await makeTask(database, { caller: stranger });
    await database.close();
    expect((await get(`/v2/tasks/${other.taskId}`)).status).toBe(404);
    expect((await get(`/v2/images/${other.imageId}/tasks`)).status).toBe(404);
    expect((await get(`/v2/tasks?marker=${other.taskId}`)).status).toBe(400);
    expect(await idsOf('/v2/tasks?limit=1000')).not.toContain(other.taskId);
  });

  test('is read again only where it has changed', async () => {
    const task = await makeUpload(service());
    const path = `/v2/tasks/${task.taskId}`;
    const first = await get(path);
    const etag = first.headers.get('etag') ?? '';
    expect(etag).toMatch(/^W\/"[^"]+"$/);
    expect(first.headers.get('cache-control')).toBe('private, no-cache');

    const ask = (): Promise<Response> => get(path, { headers: { 'if-none-match': etag } });
    const second = await ask();
    expect([second.status, await second.text(), second.headers.get('etag')]).toEqual([
      304,
      '',
      etag,
    ]);
    const listed = await get('/v2/tasks', { headers: { 'if-none-match': '*' } });
    expect([listed.status, listed.headers.get('cache-control')]).toEqual([200, 'no-store']);

    await sendBytes(service(), task, Buffer.from('x'), false);
    expect((await ask()).status).toBe(200);
  });
});

describe('a list', () => {
  test('is filtered and sorted as asked', async () => {
    // The tasks of this test's image only: other tests make tasks beside it.
    const { taskId, imageId } = await makeUpload(service());
    const all = [taskId];
    for (let i = 0; i < 3; i++) {
      await service().tasks.cancelTask({ taskId: all[0] ?? '' });
      const { task } = await service().tasks.retryTask({ taskId: all[0] ?? '' });
      all.unshift(task?.id ?? '');
    }
    const [pending, ...failures] = all;
    const list = `/v2/images/${imageId}/tasks`;
    const up = all.toReversed();
    for (const [query, ids] of [
      ['', all],
      ['sort_dir=asc', up],
      ['sort_key=id', all],
      ['sort_key=id&sort_dir=asc', up],
      ['sort_key=updated_at', all],
      ['sort_key=updated_at&sort_dir=asc', up],
      ['sort_key=type', all],
      ['sort_key=status', [pending, ...failures]],
      ['sort_key=status&sort_dir=asc', [...failures.toReversed(), pending]],
      ['status=pending', [pending]],
      ['status=failure', failures],
      ['status=failure&sort_key=status', failures],
      ['status=success', []],
      ['type=upload', all],
      ['type=upload&sort_key=type', all],
      ['type=snapshot&sort_key=type', []],
      ['limit=0', []],
      [`marker=${failures[0]}&sort_key=status`, failures.slice(1)],
      [`marker=${pending}&sort_key=status&status=failure`, failures],
      [`marker=${pending}&limit=1`, failures.slice(0, 1)],
    ] as const) {
      expect([query, await idsOf(`${list}?${query}`)]).toEqual([query, ids]);
    }
    // Each page names the next one, which ends where there is nothing more.
    for (const query of [
      '',
      'sort_key=status',
      'sort_key=updated_at&sort_dir=asc',
      'type=upload',
    ]) {
      const walked = (await walk(`${list}?${query}&limit=1`)).flat();
      expect([query, walked]).toEqual([query, await idsOf(`${list}?${query}`)]);
    }
    // A later status or type begins at its own newest task, though that is newer than the marker.
    for (const query of ['sort_key=status', 'sort_key=type', 'sort_key=type&sort_dir=asc']) {
      const walked = (await walk(`/v2/tasks?${query}&limit=2`)).flat();
      expect([query, walked]).toEqual([query, await idsOf(`/v2/tasks?${query}&limit=1000`)]);
    }
  });

  test('links to its first and next page, and to its schema', async () => {
    const list = await read('/v2/tasks?status=failure&limit=1');
    const [last] = list['tasks'] as Json[];
    expect(list).toMatchObject({
      first: '/v2/tasks?status=failure&limit=1',
      next: `/v2/tasks?status=failure&limit=1&marker=${String(last?.['id'])}`,
      schema: '/v2/schemas/tasks',
    });
    const second = await read(String(list['next']));
    expect(second['first']).toBe(list['first']);
    expect(await read('/v2/tasks?limit=1000')).not.toHaveProperty('next');
    expect(await read('/v2/tasks?limit=0')).toEqual({
      tasks: [],
      first: '/v2/tasks?limit=0',
      schema: '/v2/schemas/tasks',
    });
  });

  test('is walked by marker without a gap while new tasks arrive', async () => {
    const made: string[] = [];
    for (let i = 0; i < 25; i++) {
      made.unshift((await makeUpload(service())).taskId);
    }
    const seen: unknown[] = [];
    let marker = '';
    for (let pages = 0; seen.length < 25; pages++) {
      expect(pages).toBeLessThan(7);
      const page = await idsOf(`/v2/tasks?limit=4${marker && `&marker=${marker}`}`);
      expect(page).toHaveLength(4);
      seen.push(...page);
      marker = String(page.at(-1));
      await makeUpload(service());
    }
    expect(seen.slice(0, 25)).toEqual(made);
  });

  test('by what changes has an end, though its tasks change between its pages', async () => {
    const busy = [await makeUpload(service()), await makeUpload(service())];
    const size = (await idsOf('/v2/tasks?limit=1000')).length;
    const reports = { bytesDone: 0n };
    for (const query of ['sort_key=updated_at', 'sort_key=status']) {
      const pages = await walk(`/v2/tasks?${query}&limit=1`, async () => {
        reports.bytesDone += 1n;
        const { taskId } = busy[Number(reports.bytesDone) % 2] ?? { taskId: '' };
        await service().tasks.reportProgress({ taskId, bytesDone: reports.bytesDone });
      });
      expect(pages.length).toBeLessThanOrEqual(size);
    }
  });

  test.each([
    ['limit=-1', 'limit'],
    ['limit=many', 'limit'],
    ['limit=', 'limit'],
    ['marker=x', 'marker'],
    [`marker=${randomUUID()}`, 'marker names no task'],
    ['sort_key=owner', 'sort_key must be one of created_at, updated_at, id, status, type'],
    ['sort_dir=up', 'sort_dir'],
    ['status=killed', 'status must be one of failure, pending, processing, success'],
    ['type=api_image_import', 'type must be one of import, snapshot, upload'],
    ['owner=me', '"owner" is no parameter'],
    ['marker_value=success', 'marker_value'],
    ['sort_key=updated_at&marker_value=2026-13-01T00:00:00.000Z', 'marker_value'],
  ])('asked for %s is refused', async (query, words) => {
    const response = await get(`/v2/tasks?${query}`);
    expect([response.status, await response.json()]).toEqual([
      400,
      {
        error: {
          code: 400,
          title: 'Bad Request',
          message: expect.stringContaining(words),
          reason: 'FIELD_INVALID',
        },
      },
    ]);
  });

  /** The ids of each page, from link to link. */
  async function walk(path: string, between = async (): Promise<void> => {}): Promise<unknown[][]> {
    const pages: unknown[][] = [];
    for (let next: unknown = path; typeof next === 'string';) {
      const page = await read(next);
      pages.push((page['tasks'] as Json[]).map(({ id }) => id));
      next = page['next'];
      await between();
    }
    return pages;
  }
});

describe('the view', () => {
  test('says which version it is like', async () => {
    const { url } = service().process;
    const version = {
      id: 'v2.15',
      status: 'CURRENT',
      links: [{ rel: 'self', href: `${url}/v2/` }],
    };
    const minors = [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0];
    const versions = [
      version,
      ...minors.map((minor) => ({ id: `v2.${minor}`, status: 'SUPPORTED', links: version.links })),
    ];
    const choice = await get('/');
    expect([choice.status, await choice.json()]).toEqual([300, { versions }]);
    expect(await read('/versions')).toEqual({ versions });
    expect(await read('/v2')).toEqual({ version });
    expect(await read('/v2/')).toEqual({ version });
  });

  test.each([
    ['GET', '/v2/tasks/nonsense', 404, 'TASK_NOT_FOUND'],
    ['GET', `/v2/tasks/${randomUUID()}`, 404, 'TASK_NOT_FOUND'],
    ['GET', '/v2/images/nonsense/tasks', 404, 'IMAGE_NOT_FOUND'],
    ['GET', `/v2/images/${randomUUID()}/tasks`, 404, 'IMAGE_NOT_FOUND'],
    ['PUT', '/v2/a/b/c/d/e/f', 404],
    ['DELETE', `/v2/tasks/${randomUUID()}`, 405],
    ['PATCH', '/versions', 405],
    ['POST', '/v2/', 405],
  ])(
    '%s %s is answered with %i in words that OpenStack’s tools read',
    async (method, path, status, reason?: string) => {
      const title = { 404: 'Not Found', 405: 'Method Not Allowed' }[status];
      const message = expect.stringMatching(/^[A-Z].*\.$/);
      const anything = await get(path, { method });
      expect([anything.status, await anything.json()]).toEqual([
        status,
        { error: { code: status, title, message, ...(reason !== undefined && { reason }) } },
      ]);
      expect(anything.headers.get('cache-control')).toBe('no-store');
      expect(anything.headers.get('allow')).toBe(status === 405 ? 'GET, HEAD' : null);
      expect(anything.headers.get('x-openstack-request-id')).toMatch(/./);
      // As Glance says it to who asks for JSON.
      const json = await get(path, { method, headers: { accept: 'application/json' } });
      expect(await json.json()).toEqual({
        code: `${status} ${title}`,
        title,
        message,
        ...(reason !== undefined && { reason }),
      });
    },
  );

  test('answers HEAD as GET, without the body', async () => {
    const path = `/v2/tasks/${tasks.succeeded.taskId}`;
    const whole = await get(path);
    const head = await get(path, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    for (const name of ['etag', 'content-type', 'cache-control']) {
      expect(head.headers.get(name)).toBe(whole.headers.get(name));
    }
  });

  test('says when to come again, where the service knows', async () => {
    const getOwnImage = (): Promise<never> =>
      Promise.reject(new DarkroomError('DATABASE_UNAVAILABLE', 'Away.', { retryDelayMs: 3000 }));
    const routes = restRoutes({
      database: await connectTestDatabase(),
      downloads: {} as DownloadParts,
      images: { getOwnImage } as unknown as ImageService,
      members: {} as ImageMembers,
      pace: { idleTimeoutMs: 1000, minRate: 0 },
      historyRetentionMs: 1000,
    } as RestParts);
    const { url } = await startFakeServer({ httpRoutes: routes });
    const response = await fetch(`${url}/v2/images/${randomUUID()}/tasks`);
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '3']);
    expect(await response.json()).toEqual({
      error: {
        code: 503,
        title: 'Service Unavailable',
        message: 'Away.',
        reason: 'DATABASE_UNAVAILABLE',
      },
    });
  });
});
