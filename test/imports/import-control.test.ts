import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import type { Caller } from '../../src/access/caller.ts';
import type { TaskId } from '../../src/records/ids.ts';
import { Blob, BlobSegment } from '../../src/records/blob.ts';
import { useDatabase } from '../support/test-database.ts';
import { download, loseProcess, readFaults, readImage, readTask } from '../support/upload-world.ts';
import { FaultyStore } from '../uploads/faulty-store.ts';
import { ended, openImportWorld, type ImportWorld } from './import-world.ts';
import { rangeOf, serves, startSource, type SourceServer } from './source-server.ts';

const database = useDatabase();
const bytes = randomBytes(1_500_000);
/** Far less than the 30 s after which a source is given up by itself. */
const patience = { timeout: 10_000, interval: 5 };
const ann: Caller = { projectId: 'default', userId: 'ann', role: 'member' };

/** A source that sends half of the image, and the rest when it is let. */
async function startHalting(): Promise<
  SourceServer & { readonly halted: ServerResponse[]; goOn(): void }
> {
  const halted: ServerResponse[] = [];
  let isOpen = false;
  const source = await startSource((request, response, number) => {
    if (isOpen) {
      serves(bytes)(request, response, number);
      return;
    }
    const { start, isPart } = rangeOf(request, '"one"');
    response.writeHead(isPart ? 206 : 200, {
      etag: '"one"',
      'content-length': bytes.length - start,
      ...(isPart && { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
    });
    response.write(bytes.subarray(start, 750_000));
    halted.push(response);
  });
  return {
    ...source,
    halted,
    goOn() {
      isOpen = true;
      for (const response of halted) {
        response.end(bytes.subarray(750_000));
      }
    },
  };
}

async function untilFetching(source: { readonly halted: readonly unknown[] }, count = 1) {
  await expect.poll(() => source.halted.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(count);
}

/** Blobs and segments that are neither an image's nor a live task's, and files that nobody knows. */
async function leftovers(world: ImportWorld): Promise<unknown[]> {
  const known = await database().fork().find(BlobSegment, {});
  const ids = new Set(known.map(({ id }) => id));
  const unknown: unknown[] = [];
  for await (const id of world.store.list()) {
    if (!ids.has(id)) {
      unknown.push(id);
    }
  }
  const deleting = await database().fork().find(Blob, { state: 'DELETING' });
  return [...unknown, ...deleting];
}

describe('while an import is fetched', () => {
  test.each(['cancel', 'delete'] as const)(
    '%s stops it at once and leaves nothing behind',
    async (how) => {
      const world = await openImportWorld(database());
      const source = await startHalting();
      const { imageId, taskId } = await world.create(source.origin);
      await untilFetching(source);
      if (how === 'cancel') {
        await world.cancel(taskId);
      } else {
        await world.images.deleteImage(ann, { imageId, etag: '' });
      }
      await expect.poll(() => source.connections(), patience).toBe(0);
      const task = await readTask(database(), taskId);
      expect(task).toMatchObject({
        state: how === 'cancel' ? 'CANCELLED' : 'FAILED',
        blobId: null,
        writerProcessId: null,
      });
      await expect.poll(() => leftovers(world), { timeout: 5000 }).toEqual([]);
    },
  );

  test('cancel also stops the waiting for an answer', async () => {
    const world = await openImportWorld(database());
    const source = await startSource(() => {});
    const { taskId } = await world.create(source.origin);
    await expect.poll(() => source.requests.length, { timeout: 10_000 }).toBe(1);
    await world.cancel(taskId);
    await expect.poll(() => source.connections(), patience).toBe(0);
  });

  test('nobody else can send its bytes', async () => {
    const world = await openImportWorld(database());
    const source = await startHalting();
    const { taskId } = await world.create(source.origin);
    await untilFetching(source);
    await expect(world.uploads.resume(ann, taskId, 'test')).rejects.toMatchObject({
      reason: 'TASK_STATE_INVALID',
    });
  });

  test('a service that stops leaves it to another at once, which goes on where it was', async () => {
    const first = await openImportWorld(database());
    const source = await startHalting();
    const { imageId, taskId } = await first.create(source.origin);
    await untilFetching(source);
    await expect
      .poll(async () => (await readTask(database(), taskId)).committedSize, { timeout: 5000 })
      .toBe(750_000);
    first.imports.claimNoMore();
    await first.uploads.drain();
    expect(await readFaults(database(), taskId)).toMatchObject([
      { reason: 'SERVER_DRAINING', fatal: false },
    ]);
    source.goOn();
    const second = await openImportWorld(database(), { folder: first.folder });
    expect((await ended(database(), taskId)).state).toBe('SUCCEEDED');
    expect(source.requests.at(-1)?.headers.range).toBe('bytes=750000-');
    expect((await download(second, imageId)).equals(bytes)).toBe(true);
  });

  test('a worker that was taken for lost is fenced, and stops', async () => {
    const first = await openImportWorld(database());
    const source = await startHalting();
    const { imageId, taskId } = await first.create(source.origin);
    await untilFetching(source);
    first.imports.claimNoMore();
    await loseProcess(database(), first);
    await first.ledger.change(taskId, undefined, (entry) => {
      entry.changeWriter('another worker thinks that this one died');
    });
    await expect.poll(() => source.connections(), patience).toBe(0);
    source.goOn();
    const second = await openImportWorld(database(), { folder: first.folder });
    expect((await ended(database(), taskId)).state).toBe('SUCCEEDED');
    expect((await download(second, imageId)).equals(bytes)).toBe(true);
  });
});

describe('many imports', () => {
  test('are fetched no more at a time than the process and the project may', async () => {
    const env = { DARKROOM_MAX_IMPORTS: '3', DARKROOM_MAX_IMPORTS_PER_PROJECT: '2' };
    const world = await openImportWorld(database(), { env });
    const source = await startHalting();
    const theirs: Caller = { projectId: 'another', userId: 'eve', role: 'member' };
    const tasks: TaskId[] = [];
    for (let i = 0; i < 5; i += 1) {
      tasks.push((await world.create(source.origin)).taskId);
    }
    await untilFetching(source, 2);
    for (let i = 0; i < 5; i += 1) {
      tasks.push((await world.create(source.origin, { caller: theirs })).taskId);
    }
    // One lane is left, and it is not for the project that came first.
    await untilFetching(source, 3);
    const running = await world.database.pool.query<{ project_id: string; count: string }>(
      `select project_id, count(*) from tasks
       where writer_process_id is not null and id = any($1) group by 1 order by 1`,
      [tasks],
    );
    expect(running.rows).toEqual([
      { project_id: 'another', count: '1' },
      { project_id: 'default', count: '2' },
    ]);
    expect(source.halted).toHaveLength(3);
    source.goOn();
    for (const taskId of tasks) {
      expect((await ended(database(), taskId)).state).toBe('SUCCEEDED');
    }
  });

  test('are fetched once each, however many processes compete', async () => {
    const first = await openImportWorld(database(), { isStarted: false });
    const others = await Promise.all(
      [1, 2].map(() => openImportWorld(database(), { folder: first.folder, isStarted: false })),
    );
    const source = await startSource(serves(bytes));
    const tasks: TaskId[] = [];
    for (let i = 0; i < 12; i += 1) {
      tasks.push((await first.create(source.origin)).taskId);
    }
    for (const world of [first, ...others]) {
      world.imports.start();
    }
    for (const taskId of tasks) {
      expect(await ended(database(), taskId)).toMatchObject({ state: 'SUCCEEDED', faultCount: 0 });
    }
    expect(source.requests).toHaveLength(12);
  });

  test('that wait for a worker do not expire of it', async () => {
    const env = { DARKROOM_MAX_IMPORTS: '1' };
    const world = await openImportWorld(database(), { env });
    const source = await startHalting();
    const first = await world.create(source.origin);
    await untilFetching(source);
    const second = await world.create(source.origin, { idleTimeoutMs: 2000 });
    const { expireTime } = await readTask(database(), second.taskId);
    await expect
      .poll(async () => (await readTask(database(), second.taskId)).expireTime, { timeout: 10_000 })
      .not.toEqual(expireTime);
    source.goOn();
    for (const { taskId } of [first, second]) {
      expect((await ended(database(), taskId)).state).toBe('SUCCEEDED');
    }
  });

  test('that nobody works on fail when their time has passed, and say what they waited for', async () => {
    const world = await openImportWorld(database(), { isStarted: false });
    const { imageId, taskId } = await world.create('http://127.0.0.1/', { idleTimeoutMs: 1000 });
    await database().pool.query(
      `update tasks set expire_time = now() - interval '1 s' where id = $1`,
      [taskId],
    );
    await expect(world.cancel(taskId)).rejects.toMatchObject({ reason: 'TASK_EXPIRED' });
    const [fault] = await readFaults(database(), taskId);
    expect(fault?.message).toContain('awaited a worker to fetch the image');
    expect(await readImage(database(), imageId)).toMatchObject({ outlook: 'NOT_COMING' });
  });
});

describe('an import that failed', () => {
  test('is tried again by RetryTask, from where it was, with tries of its own', async () => {
    const env = { DARKROOM_IMPORT_STALL_TIMEOUT_MS: '100', DARKROOM_IMPORT_MAX_TRIES: '2' };
    const world = await openImportWorld(database(), { env });
    const source = await startHalting();
    const { imageId, taskId } = await world.create(source.origin);
    expect(await ended(database(), taskId)).toMatchObject({
      state: 'FAILED',
      committedSize: 750_000,
    });
    source.goOn();
    const next = await world.retry(taskId);
    expect(await ended(database(), next)).toMatchObject({ state: 'SUCCEEDED', attempt: 2 });
    expect(source.requests.at(-1)?.headers.range).toBe('bytes=750000-');
    expect((await download(world, imageId)).equals(bytes)).toBe(true);
  });

  test('that was cancelled begins anew', async () => {
    const world = await openImportWorld(database());
    const source = await startHalting();
    const { imageId, taskId } = await world.create(source.origin);
    await untilFetching(source);
    await world.cancel(taskId);
    source.goOn();
    const next = await world.retry(taskId);
    expect((await ended(database(), next)).state).toBe('SUCCEEDED');
    expect(source.requests.at(-1)?.headers.range).toBeUndefined();
    expect((await download(world, imageId)).equals(bytes)).toBe(true);
  });

  test('for a full store says so, and goes on once there is room', async () => {
    const store = new FaultyStore();
    const world = await openImportWorld(database(), { wrapStore: store.wrap });
    const source = await startSource(serves(bytes));
    store.break('append', 'ENOSPC');
    const { imageId, taskId } = await world.create(source.origin);
    expect(await ended(database(), taskId)).toMatchObject({ state: 'FAILED', faultCount: 3 });
    expect((await readFaults(database(), taskId)).at(-1)).toMatchObject({
      reason: 'STORAGE_FULL',
      fatal: true,
      retryable: true,
    });
    expect(await readImage(database(), imageId)).toMatchObject({
      state: 'QUEUED',
      outlook: 'NOT_COMING',
    });
    store.mend();
    expect((await ended(database(), await world.retry(taskId))).state).toBe('SUCCEEDED');
  });

  test('for a defect of the store is tried again as for one of the source', async () => {
    const world = await openImportWorld(database());
    const source = await startSource(serves(bytes));
    const openWriter = world.store.openWriter.bind(world.store);
    let failures = 0;
    world.store.openWriter = (id, length) => {
      failures += 1;
      return failures < 3 ? Promise.reject(new Error('the disk is away')) : openWriter(id, length);
    };
    const { taskId } = await world.create(source.origin);
    expect(await ended(database(), taskId)).toMatchObject({ state: 'SUCCEEDED', faultCount: 2 });
  });
});

test('a request that is repeated gets the same import', async () => {
  const world = await openImportWorld(database(), { isStarted: false });
  const request = { requestId: 'once' };
  const first = await world.create('http://127.0.0.1/image', request);
  expect(await world.create('http://127.0.0.1/image', request)).toEqual(first);
  await expect(world.create('http://127.0.0.1/other', request)).rejects.toMatchObject({
    reason: 'REQUEST_ID_REUSED',
  });
});
