import { createHash, randomBytes } from 'node:crypto';
import { crc32c } from '@node-rs/crc32';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Code } from '../../gen/google/rpc/code_pb.ts';
import type { Database } from '../../src/database/database.ts';
import { defaultCaller } from '../../src/domain/caller.ts';
import type { DarkroomError } from '../../src/domain/darkroom-error.ts';
import type { TaskId } from '../../src/domain/ids.ts';
import type { BlobStore, SegmentWriter } from '../../src/storage/blob-store.ts';
import { storageError } from '../../src/storage/storage-error.ts';
import { Fault } from '../../src/tasks/fault.ts';
import type { UploadFrame } from '../../src/uploads/upload-frame.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { ScriptedStream } from '../support/scripted-stream.ts';
import { connectTestDatabase } from '../support/test-database.ts';
import {
  chunk,
  connection,
  finish,
  framesOf,
  header,
  openUploadWorld,
  queueImage,
  readImage,
  readTask,
  testLimits,
  type UploadWorld,
} from '../support/upload-world.ts';

const cleanUps = new CleanUps();
let database: Database;

beforeAll(async () => {
  database = await connectTestDatabase(cleanUps.defer);
});

afterAll(cleanUps.run);

const good = randomBytes(100_000);
const sha256 = createHash('sha256').update(good).digest('hex');

async function refusal(
  world: UploadWorld,
  frames: AsyncIterator<UploadFrame>,
): Promise<DarkroomError> {
  return world.uploads.receive(defaultCaller, frames, connection()).then(
    () => expect.unreachable('the upload was taken'),
    (error: DarkroomError) => error,
  );
}

async function faultsOf(world: UploadWorld, taskId: TaskId): Promise<Fault[]> {
  return world.database.fork().find(Fault, { taskId }, { orderBy: { sequence: 'asc' } });
}

interface Case {
  readonly name: string;
  /** What comes after the header and a good chunk. */
  readonly frames: readonly UploadFrame[];
  readonly reason: string;
  readonly code: Code;
  readonly fatal?: 'bytes are sound' | 'bytes are wrong';
  readonly stated?: { readonly size?: number; readonly sha256?: string };
}

const cases: readonly Case[] = [
  { name: 'a second header', frames: [header('again')], reason: 'FRAME_ORDER', code: Code.INVALID_ARGUMENT },
  { name: 'a frame that is empty', frames: [{ kind: 'empty' }], reason: 'FRAME_ORDER', code: Code.INVALID_ARGUMENT },
  {
    name: 'a chunk after the finish',
    frames: [finish(good.length), chunk(good.length, Buffer.from('x'))],
    reason: 'FRAME_ORDER',
    code: Code.INVALID_ARGUMENT,
  },
  {
    name: 'two finishes',
    frames: [finish(good.length), finish(good.length)],
    reason: 'FRAME_ORDER',
    code: Code.INVALID_ARGUMENT,
  },
  { name: 'a chunk without bytes', frames: [chunk(good.length, Buffer.alloc(0))], reason: 'FIELD_INVALID', code: Code.INVALID_ARGUMENT },
  { name: 'a negative offset', frames: [chunk(-1, Buffer.from('x'))], reason: 'FIELD_INVALID', code: Code.INVALID_ARGUMENT },
  { name: 'a hole of no length', frames: [{ kind: 'hole', offset: good.length, length: 0 }], reason: 'FIELD_INVALID', code: Code.INVALID_ARGUMENT },
  {
    name: 'a chunk over the limit',
    frames: [chunk(good.length, Buffer.alloc(testLimits.maxChunkBytes + 1))],
    reason: 'CHUNK_TOO_LARGE',
    code: Code.RESOURCE_EXHAUSTED,
  },
  { name: 'a gap', frames: [chunk(good.length + 1, Buffer.from('x'))], reason: 'OFFSET_MISMATCH', code: Code.ABORTED },
  {
    name: 'a chunk that was altered on the way',
    frames: [chunk(good.length, Buffer.from('x'), crc32c('y'))],
    reason: 'CHUNK_CHECKSUM_MISMATCH',
    code: Code.DATA_LOSS,
  },
  { name: 'other bytes sent again', frames: [chunk(10, Buffer.alloc(50, 7))], reason: 'REPLAY_MISMATCH', code: Code.DATA_LOSS },
  { name: 'a hole sent again where bytes are', frames: [{ kind: 'hole', offset: 0, length: 10 }], reason: 'REPLAY_MISMATCH', code: Code.DATA_LOSS },
  {
    name: 'a finish before all was sent',
    frames: [finish(good.length + 1)],
    reason: 'SIZE_SHORT',
    code: Code.OUT_OF_RANGE,
    fatal: 'bytes are sound',
  },
  {
    name: 'a finish short of the stated size',
    frames: [finish(good.length)],
    stated: { size: good.length + 5 },
    reason: 'SIZE_SHORT',
    code: Code.OUT_OF_RANGE,
    fatal: 'bytes are sound',
  },
  {
    name: 'a finish that says less than was sent',
    frames: [finish(good.length - 1)],
    reason: 'SIZE_EXCEEDED',
    code: Code.OUT_OF_RANGE,
    fatal: 'bytes are wrong',
  },
  {
    name: 'more than the stated size',
    frames: [chunk(good.length, Buffer.from('x'))],
    stated: { size: good.length },
    reason: 'SIZE_EXCEEDED',
    code: Code.OUT_OF_RANGE,
    fatal: 'bytes are wrong',
  },
  {
    name: 'a hole beyond the largest image',
    frames: [{ kind: 'hole', offset: good.length, length: testLimits.maxImageBytes }],
    reason: 'SIZE_EXCEEDED',
    code: Code.OUT_OF_RANGE,
    fatal: 'bytes are wrong',
  },
  {
    name: 'a wrong digest in the finish',
    frames: [finish(good.length, 'a'.repeat(64))],
    reason: 'DIGEST_MISMATCH',
    code: Code.DATA_LOSS,
    fatal: 'bytes are wrong',
  },
  {
    name: 'another digest than was stated',
    frames: [finish(good.length, sha256)],
    stated: { sha256: 'b'.repeat(64) },
    reason: 'DIGEST_MISMATCH',
    code: Code.DATA_LOSS,
    fatal: 'bytes are wrong',
  },
]; // prettier-ignore

test.each(cases)('$name is a fault $reason, and the good prefix is kept', async (it) => {
  const world = await openUploadWorld(database);
  const { imageId, taskId } = await queueImage(world.database, it.stated);

  const error = await refusal(world, framesOf(header(taskId), chunk(0, good), ...it.frames));

  expect(error).toMatchObject({ reason: it.reason, code: it.code });
  expect(error.metadata).toMatchObject({ committed_size: String(good.length), task_id: taskId });
  const task = await readTask(world.database, taskId);
  expect(task).toMatchObject({
    state: it.fatal ? 'FAILED' : 'RUNNING',
    committedSize: good.length,
    faultCount: 1,
    writerProcessId: null,
  });
  const [fault] = await faultsOf(world, taskId);
  expect(fault).toMatchObject({
    reason: it.reason,
    code: it.code,
    fatal: it.fatal !== undefined,
    offset: good.length,
    origin: 'SERVER',
    attempt: 1,
  });
  expect(await readImage(world.database, imageId)).toMatchObject({
    state: 'QUEUED',
    outlook: it.fatal ? 'NOT_COMING' : 'EXPECTED',
    lastFaultId: fault!.id,
  });
  if (!it.fatal) {
    const done = await world.uploads.receive(
      defaultCaller,
      framesOf(header(taskId), finish(good.length, sha256)),
      connection(),
    );
    expect(done).toMatchObject({ complete: true, committedSize: good.length });
  }
});

test('a stream that brings no header says so, and leaves no trace', async () => {
  const world = await openUploadWorld(database);
  const { taskId } = await queueImage(world.database);
  for (const frames of [[], [chunk(0, good)], [finish(0)], [{ kind: 'empty' as const }]]) {
    expect(await refusal(world, framesOf(...frames))).toMatchObject({ reason: 'FRAME_ORDER' });
  }
  expect(await readTask(world.database, taskId)).toMatchObject({ state: 'PENDING', faultCount: 0 });
});

test('a digest is compared whatever the case of its digits', async () => {
  const world = await openUploadWorld(database);
  const { taskId } = await queueImage(world.database, { sha256 });
  const done = await world.uploads.receive(
    defaultCaller,
    framesOf(header(taskId), chunk(0, good), finish(good.length, sha256)),
    connection(),
  );
  expect(done.complete).toBe(true);
});

test('a connection that breaks leaves a survived fault and every byte that came', async () => {
  const world = await openUploadWorld(database);
  const { taskId } = await queueImage(world.database);
  const stream = new ScriptedStream();
  stream.send(header(taskId));
  stream.send(chunk(0, good));
  stream.break();
  expect(await refusal(world, stream)).toMatchObject({ reason: 'CONNECTION_LOST' });
  expect(await faultsOf(world, taskId)).toMatchObject([
    { reason: 'CONNECTION_LOST', code: Code.UNAVAILABLE, offset: good.length, phase: 'RECEIVING', fatal: false, retryable: true },
  ]); // prettier-ignore
});

test('a silent client is told that its stream is idle; its task goes on', async () => {
  const world = await openUploadWorld(database, {
    limits: { streamIdleTimeoutMs: 200 },
  });
  const { taskId } = await queueImage(world.database);
  const stream = new ScriptedStream();
  stream.send(header(taskId));
  stream.send(chunk(0, good));
  const silent = { ...connection(), bytesReceived: () => good.length };
  await expect(world.uploads.receive(defaultCaller, stream, silent)).rejects.toMatchObject({
    reason: 'STREAM_IDLE',
    code: Code.DEADLINE_EXCEEDED,
  });
  expect(await readTask(world.database, taskId)).toMatchObject({
    state: 'RUNNING',
    committedSize: good.length,
    writerProcessId: null,
  });
});

test('a client that trickles is told that it is too slow, though it is never idle', async () => {
  const world = await openUploadWorld(database, {
    limits: { streamIdleTimeoutMs: 200, minUploadRate: 100_000 },
  });
  const { taskId } = await queueImage(world.database);
  const stream = new ScriptedStream();
  stream.send(header(taskId));
  // One byte more each time the watchdog looks.
  await expect(world.uploads.receive(defaultCaller, stream, connection())).rejects.toMatchObject({
    reason: 'STREAM_TOO_SLOW',
  });
});

test('the time that a slow disk takes is not held against the client', async () => {
  const world = await openUploadWorld(database, {
    limits: { streamIdleTimeoutMs: 100, minUploadRate: 1_000_000 },
    wrapStore: (store) =>
      withWriter(store, (writer) => ({
        append: async (data) => {
          await new Promise((resolve) => setTimeout(resolve, 250));
          return writer.append(data);
        },
      })),
  });
  const { taskId } = await queueImage(world.database);
  const done = await world.uploads.receive(
    defaultCaller,
    framesOf(header(taskId), chunk(0, good), finish(good.length)),
    connection(),
  );
  expect(done.complete).toBe(true);
});

test.each([
  ['ENOSPC', 'STORAGE_FULL', Code.RESOURCE_EXHAUSTED],
  ['EIO', 'STORAGE_UNAVAILABLE', Code.UNAVAILABLE],
])(
  'a disk that answers %s ends the stream with %s; the task goes on when it is well again',
  async (errno, reason, code) => {
    let isBroken = false;
    const broken = (): never => {
      throw storageError(Object.assign(new Error(errno), { code: errno }), 'writing');
    };
    const world = await openUploadWorld(database, {
      wrapStore: (store) =>
        withWriter(store, (writer) => ({
          append: async (data) => (isBroken ? broken() : writer.append(data)),
          sync: async () => (isBroken ? broken() : writer.sync()),
        })),
    });
    const { taskId } = await queueImage(world.database);
    await world.uploads.receive(
      defaultCaller,
      framesOf(header(taskId), chunk(0, good)),
      connection(),
    );
    isBroken = true;
    const error = await refusal(world, framesOf(header(taskId), chunk(good.length, good)));
    expect(error).toMatchObject({ reason, code });
    expect(error.retryDelayMs).toBeGreaterThan(0);
    expect(await readTask(world.database, taskId)).toMatchObject({
      state: 'RUNNING',
      committedSize: good.length,
    });
    isBroken = false;
    const done = await world.uploads.receive(
      defaultCaller,
      framesOf(header(taskId), chunk(good.length, good), finish(2 * good.length)),
      connection(),
    );
    expect(done.complete).toBe(true);
  },
);

test('too many uploads at once are refused with a time to try again, and room is made when one ends', async () => {
  const world = await openUploadWorld(database, {
    limits: { maxUploadsPerProject: 2 },
  });
  const streams: ScriptedStream[] = [];
  const running: Promise<unknown>[] = [];
  for (let upload = 0; upload < 2; upload++) {
    const { taskId } = await queueImage(world.database);
    const stream = new ScriptedStream();
    stream.send(header(taskId));
    running.push(world.uploads.receive(defaultCaller, stream, connection()));
    await stream.waitsForMore;
    streams.push(stream);
  }
  const { taskId } = await queueImage(world.database);
  const error = await refusal(world, framesOf(header(taskId), finish(0)));
  expect(error).toMatchObject({ reason: 'TOO_MANY_UPLOADS', code: Code.RESOURCE_EXHAUSTED });
  expect(error.retryDelayMs).toBeGreaterThan(0);

  streams[0]!.end();
  await running[0];
  const done = await world.uploads.receive(
    defaultCaller,
    framesOf(header(taskId), finish(0)),
    connection(),
  );
  expect(done.complete).toBe(true);
  streams[1]!.end();
  await running[1];
});

test('an upload survives that every connection to the database is cut', async () => {
  const world = await openUploadWorld(database);
  const { taskId } = await queueImage(world.database);
  const stream = new ScriptedStream();
  stream.send(header(taskId));
  stream.send(chunk(0, good));
  const upload = world.uploads.receive(defaultCaller, stream, connection());
  await stream.waitsForMore;
  await world.database.pool
    .query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()`,
    )
    .catch(() => {});
  stream.send(chunk(good.length, good));
  stream.send(finish(2 * good.length));
  stream.end();
  expect(await upload).toMatchObject({ complete: true, committedSize: 2 * good.length });
});

/** A store whose writers do some things otherwise. */
function withWriter(
  store: BlobStore,
  change: (writer: SegmentWriter) => Partial<Pick<SegmentWriter, 'append' | 'sync'>>,
): BlobStore {
  return {
    openReader: (id) => store.openReader(id),
    size: (id) => store.size(id),
    seal: (id, length) => store.seal(id, length),
    remove: (id) => store.remove(id),
    list: () => store.list(),
    check: () => store.check(),
    async openWriter(id, length) {
      const writer = await store.openWriter(id, length);
      const changed = change(writer);
      return {
        get length() {
          return writer.length;
        },
        append: changed.append ?? ((data) => writer.append(data)),
        appendHole: (bytes) => writer.appendHole(bytes),
        sync: changed.sync ?? (() => writer.sync()),
        close: () => writer.close(),
      };
    },
  };
}
