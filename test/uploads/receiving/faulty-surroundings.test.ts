import { randomBytes } from 'node:crypto';
import { expect, inject, test } from 'vitest';
import { Code } from '../../../gen/google/rpc/code_pb.ts';
import { defaultCaller } from '../../../src/access/caller.ts';
import type { TaskId } from '../../../src/records/ids.ts';
import { deleteImage } from '../../../src/images/delete-image.ts';
import { administer } from '../../support/database-cluster.ts';
import { useDatabase } from '../../support/test-database.ts';
import {
  chunk,
  connection,
  failureOf,
  finish,
  framesOf,
  header,
  openUploadWorld,
  queueImage,
  readFaults,
  readTask,
  retryTask,
  type UploadWorld,
} from '../../support/upload-world.ts';
import { committed, dataFrames, expectActive, resumeAndFinish } from '../complete-upload.ts';
import { expectFault } from '../expect-fault.ts';
import { FaultyStore, type StoreOperation } from '../faulty-store.ts';
import { startHalfOpen } from '../half-open-upload.ts';
import { PushedFrames } from '../pushed-frames.ts';

const database = useDatabase();
const data = randomBytes(250_000);

test.each<[string, StoreOperation, string, string, Code]>([
  ['is full when bytes come', 'append', 'ENOSPC', 'STORAGE_FULL', Code.RESOURCE_EXHAUSTED],
  [
    'is full when bytes are made durable',
    'persist',
    'ENOSPC',
    'STORAGE_FULL',
    Code.RESOURCE_EXHAUSTED,
  ],
  ['is over its quota', 'append', 'EDQUOT', 'STORAGE_FULL', Code.RESOURCE_EXHAUSTED],
  ['fails to write', 'append', 'EIO', 'STORAGE_UNAVAILABLE', Code.UNAVAILABLE],
  ['fails to make bytes durable', 'persist', 'EIO', 'STORAGE_UNAVAILABLE', Code.UNAVAILABLE],
])(
  'a disk that %s keeps the good prefix, and others go on',
  async (_, operation, errno, reason, code) => {
    const store = new FaultyStore();
    const world = await openUploadWorld(database(), { wrapStore: store.wrap });
    const neighbour = await openUploadWorld(database(), { folder: world.folder });
    const { imageId, taskId } = await queueImage(database());
    const besides = await queueImage(database());
    const { frames, upload } = await startHalfOpen(world, taskId, data, 100_000);
    const untouched = await startHalfOpen(neighbour, besides.taskId, data, 100_000);
    store.break(operation, errno);
    frames.push(...dataFrames(data, 100_000));
    const failure = await failureOf(upload);
    await expectFault(database(), taskId, failure, { reason, code });
    expect(failure.retryDelayMs).toBeGreaterThan(0);
    expect(failure.message).toContain(errno);

    untouched.frames.push(...dataFrames(data, 100_000), finish(data.length));
    untouched.frames.end();
    await untouched.upload;
    await expectActive(neighbour, besides.imageId, data);
    store.mend();
    await resumeAndFinish(world, taskId, data);
    await expectActive(world, imageId, data);
  },
);

test('a store that cannot be opened leaves the task as it was', async () => {
  const store = new FaultyStore();
  const world = await openUploadWorld(database(), { wrapStore: store.wrap });
  const { imageId, taskId } = await queueImage(database());
  store.break('open', 'EIO');
  const failure = await failureOf(
    world.uploads.receive(defaultCaller, framesOf(header(taskId)), connection()),
  );
  await expectFault(database(), taskId, failure, {
    reason: 'STORAGE_UNAVAILABLE',
    code: Code.UNAVAILABLE,
    offset: 0,
  });
  store.mend();
  await resumeAndFinish(world, taskId, data);
  await expectActive(world, imageId, data);
});

test('a disk that fails while the whole is published: the task completes once it works', async () => {
  const store = new FaultyStore();
  const world = await openUploadWorld(database(), { wrapStore: store.wrap });
  const { imageId, taskId } = await queueImage(database());
  store.break('complete', 'EIO');
  const frames = framesOf(header(taskId), ...dataFrames(data), finish(data.length));
  const failure = await failureOf(world.uploads.receive(defaultCaller, frames, connection()));
  await expectFault(database(), taskId, failure, {
    reason: 'STORAGE_UNAVAILABLE',
    code: Code.UNAVAILABLE,
    offset: data.length,
    phase: 'VERIFYING',
  });
  store.mend();
  expect(await world.repair.run()).toMatchObject({ finishesTakenUp: 1 });
  await world.repair.settle();
  await expectActive(world, imageId, data);
});

test('bytes that the store has lost fail the task, and a retry brings them again', async () => {
  const world = await openUploadWorld(database());
  const { imageId, taskId } = await queueImage(database());
  const { frames, upload } = await startHalfOpen(world, taskId, data, 100_000);
  frames.end();
  await upload;
  for await (const id of world.store.list()) {
    await world.store.remove(id);
  }
  const failure = await failureOf(
    world.uploads.receive(defaultCaller, framesOf(header(taskId)), connection()),
  );
  await expectFault(database(), taskId, failure, {
    reason: 'STORED_BYTES_LOST',
    code: Code.DATA_LOSS,
    fatal: true,
  });
  const next = await retryTask(world, taskId, false);
  await resumeAndFinish(world, next, data);
  await expectActive(world, imageId, data);
});

test('a file that is removed under a stream ends it, and is never taken for stored', async () => {
  const world = await openUploadWorld(database());
  const { taskId } = await queueImage(database());
  const { frames, upload } = await startHalfOpen(world, taskId, data, 100_000);
  for await (const id of world.store.list()) {
    await world.store.remove(id);
  }
  frames.push(...dataFrames(data, 100_000));
  const failure = await failureOf(upload);
  await expectFault(database(), taskId, failure, {
    reason: 'STORAGE_UNAVAILABLE',
    code: Code.UNAVAILABLE,
  });
  expect(
    await failureOf(world.uploads.receive(defaultCaller, framesOf(header(taskId)), connection())),
  ).toMatchObject({ reason: 'STORED_BYTES_LOST' });
});

test.each<[string, (world: UploadWorld, taskId: TaskId) => Promise<unknown>]>([
  [
    'is cancelled',
    (world, taskId) => world.ledger.change(taskId, undefined, (entry) => entry.cancel('test')),
  ],
  [
    'loses its image',
    async (world, taskId) => {
      const { imageId } = await readTask(database(), taskId);
      await deleteImage(database(), defaultCaller, { imageId, etag: '' }, () =>
        world.reaper.wake(),
      );
    },
  ],
  [
    'expires',
    async (world, taskId) => {
      await database().pool.query(`update tasks set expire_time = now() where id = $1`, [taskId]);
      await failureOf(world.ledger.change(taskId, undefined, () => undefined));
    },
  ],
])('the stream of a task that %s ends at once, also while it says nothing', async (_, end) => {
  const world = await openUploadWorld(database());
  const { taskId } = await queueImage(database());
  const { upload } = await startHalfOpen(world, taskId, data, 100_000);
  await end(world, taskId);
  const failure = await failureOf(upload);
  expect(failure).toMatchObject({
    reason: 'TASK_TERMINAL',
    metadata: { committed_size: '100000' },
  });
  await world.reaper.settle();
  expect(await readTask(database(), taskId)).toMatchObject({ writerProcessId: null });
  expect(await failureOf(world.uploads.resume(defaultCaller, taskId, 'test'))).toMatchObject({
    reason: 'TASK_TERMINAL',
  });
});

test('a database that cuts all connections in the middle does not end the stream', async () => {
  const world = await openUploadWorld(database());
  const { imageId, taskId } = await queueImage(database());
  const { frames, upload } = await startHalfOpen(world, taskId, data, 100_000);
  for (let offset = 100_000; offset < data.length; offset += 30_000) {
    await cutConnections();
    const end = Math.min(offset + 30_000, data.length);
    frames.push(chunk(offset, data.subarray(offset, end)));
    await committed(database(), taskId, end);
  }
  await cutConnections();
  frames.push(finish(data.length));
  frames.end();
  expect(await upload).toMatchObject({ complete: true });
  await expectActive(world, imageId, data);
  expect(await readFaults(database(), taskId)).toEqual([]);
});

test('a fault that is recorded with the connection’s last breath is recorded once, and told', async () => {
  const world = await openUploadWorld(database());
  const { taskId } = await queueImage(database());
  const { frames, upload } = await startHalfOpen(world, taskId, data, 100_000);
  const { ledger } = world;
  const change = ledger.change.bind(ledger);
  let answers = 0;
  ledger.change = async (...args) => {
    const answer = await change(...args);
    answers += 1;
    if (answers === 1) {
      throw Object.assign(new Error('Connection terminated unexpectedly'), { code: '57P01' });
    }
    return answer;
  };
  frames.fail();
  await expectFault(database(), taskId, await failureOf(upload), {
    reason: 'CONNECTION_LOST',
    code: Code.UNAVAILABLE,
  });
  expect(answers).toBe(2);
});

test('more streams than a project or the service may have are refused until one ends', async () => {
  const limits = { maxUploads: 3, maxUploadsPerProject: 2 };
  const world = await openUploadWorld(database(), { limits });
  const elsewhere = { ...defaultCaller, projectId: 'elsewhere' };
  const tasks = [];
  for (const projectId of ['default', 'default', 'default', 'elsewhere', 'elsewhere']) {
    tasks.push((await queueImage(database(), { projectId })).taskId);
  }
  const [one, two, three, four, five] = tasks as [TaskId, TaskId, TaskId, TaskId, TaskId];
  const first = await startHalfOpen(world, one, data, 100_000);
  await startHalfOpen(world, two, data, 100_000);
  const refused = async (taskId: TaskId, caller = defaultCaller): Promise<string> => {
    const failure = await failureOf(
      world.uploads.receive(caller, framesOf(header(taskId)), connection()),
    );
    expect(failure).toMatchObject({ reason: 'TOO_MANY_UPLOADS', code: Code.RESOURCE_EXHAUSTED });
    expect(failure.retryDelayMs).toBeGreaterThan(0);
    expect(await readTask(database(), taskId)).toMatchObject({ state: 'PENDING', writerEpoch: 0 });
    return failure.message;
  };
  expect(await refused(three)).toContain('2 of 2 allowed in project default');
  const fourth = world.uploads.receive(elsewhere, new PushedFrames(header(four)), connection());
  fourth.catch(() => {});
  await expect
    .poll(async () => (await readTask(database(), four)).writerProcessId)
    .toBe(world.processId);
  expect(await refused(five, elsewhere)).toContain('3 of 3 in all');

  first.frames.end();
  await first.upload;
  await world.uploads.receive(defaultCaller, framesOf(header(three)), connection());
});

/** Cuts all connections of the database but the one that listens. */
async function cutConnections(): Promise<void> {
  const { rows } = await database().pool.query<{ name: string }>(
    'select current_database() as name',
  );
  await administer(
    inject('clusterUrl'),
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = '${rows[0]!.name}' and query not like 'listen %'`,
  );
}
