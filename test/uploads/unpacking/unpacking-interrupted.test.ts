import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { defaultCaller } from '../../../src/access/caller.ts';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { deleteImage } from '../../../src/images/delete-image.ts';
import type { TaskId } from '../../../src/records/ids.ts';
import { cancelTask } from '../../../src/tasks/control/cancel-task.ts';
import { detachLostWriters } from '../../../src/tasks/upkeep/lost-writers.ts';
import { useDatabase } from '../../support/test-database.ts';
import {
  chunk,
  connection,
  download,
  failureOf,
  finish,
  framesOf,
  header,
  loseProcess,
  openUploadWorld,
  queueImage,
  readFaults,
  readImage,
  readTask,
  retryTask,
  sha256,
  type UploadWorld,
} from '../../support/upload-world.ts';
import { FaultyStore } from '../faulty-store.ts';
import { Gate } from '../gate.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const database = useDatabase();
const patience = { timeout: 20_000 };

/** More than one piece, so that there is a middle: a piece of what came is 256 KiB, one of what is written 1 MiB. */
const content = randomBytes(5 * MiB + 4321);
const packed = gzipSync(content, { level: 0 });

/** A world in which the unpacking of an upload is held in its middle by a slow disk. */
async function unpackSlowly(options: { idleTimeoutMs?: number } = {}) {
  const disk = new FaultyStore();
  const gate = new Gate();
  const world = await openUploadWorld(database(), {
    wrapStore: disk.wrap,
    wrapDatabase: gate.database,
    unpackingLanes: 1,
  });
  const { imageId, taskId } = await queueImage(database(), { decompress: true, ...options });
  await sendAll(world, taskId);
  disk.slow('append', 250);
  const answer = world.uploads
    .receive(defaultCaller, framesOf(header(taskId), finish(packed.length)), connection())
    .then(
      (outcome) => outcome,
      (error: unknown) => error as DarkroomError,
    );
  await expect
    .poll(async () => (await readTask(database(), taskId)).unpackedSize, patience)
    .toBeGreaterThan(0);
  return { world, disk, gate, imageId, taskId, answer };
}

async function sendAll({ uploads }: UploadWorld, taskId: TaskId): Promise<void> {
  for (let at = 0; at < packed.length; at += 250 * KiB) {
    const data = packed.subarray(at, at + 250 * KiB);
    await uploads.receive(defaultCaller, framesOf(header(taskId), chunk(at, data)), connection());
  }
}

async function expectUnpacked(
  world: UploadWorld,
  imageId: Awaited<ReturnType<typeof queueImage>>['imageId'],
) {
  expect(await readImage(database(), imageId)).toMatchObject({
    state: 'ACTIVE',
    sha256: sha256(content),
    packedSha256: sha256(packed),
  });
  expect((await download(world, imageId)).equals(content)).toBe(true);
}

/** The segments that are left, when all that is to be repaired is. */
async function segmentsLeft(world: UploadWorld): Promise<number> {
  await world.repair.run();
  await world.repair.settle();
  await world.reaper.settle();
  return (await Array.fromAsync(world.store.list())).length;
}

describe('an unpacking that is under way', () => {
  test('is not disturbed by a client that comes again, whose finish is answered in the end', async () => {
    const { world, imageId, taskId, answer, disk } = await unpackSlowly();
    const { writerEpoch } = await readTask(database(), taskId);
    const resumed = await world.uploads.resume(defaultCaller, taskId, 'test');
    expect(resumed).toMatchObject({ writerEpoch, committedSize: packed.length });
    const again = () =>
      world.uploads.receive(
        defaultCaller,
        framesOf(header(taskId, writerEpoch), finish(packed.length, sha256(packed))),
        connection(),
      );
    const refusal = await failureOf(again());
    expect(refusal.reason).toBe('WRITER_ACTIVE');
    expect(refusal.message).toContain('are being unpacked');
    expect(refusal.retryDelayMs).toBeGreaterThan(0);
    disk.mend();
    expect(await answer).toMatchObject({ complete: true });
    expect(await again()).toMatchObject({ complete: true, committedSize: packed.length });
    await expectUnpacked(world, imageId);
    expect(await segmentsLeft(world)).toBe(1);
  });

  test('ends with a cancelled task, and leaves only the bytes that came, for a retry', async () => {
    const { world, imageId, taskId, answer, disk } = await unpackSlowly();
    const parts = { ledger: world.ledger, onBlobsReleased: () => {} };
    await cancelTask(parts, defaultCaller, { taskId, reason: 'test' });
    expect(await answer).toMatchObject({ reason: 'TASK_TERMINAL' });
    expect((await readTask(database(), taskId)).state).toBe('CANCELLED');
    disk.mend();
    expect(await segmentsLeft(world)).toBeGreaterThan(0);
    const retried = await retryTask(world, taskId, true);
    const frames = framesOf(header(retried), finish(packed.length));
    await world.uploads.receive(defaultCaller, frames, connection());
    await expectUnpacked(world, imageId);
    expect(await segmentsLeft(world)).toBe(1);
  });

  test('ends with a deleted image, and leaves nothing', async () => {
    const { world, imageId, answer } = await unpackSlowly();
    await deleteImage(database(), defaultCaller, { imageId, etag: '' }, () => world.reaper.wake());
    expect(await answer).toMatchObject({ reason: 'TASK_TERMINAL' });
    expect(await segmentsLeft(world)).toBe(0);
  });

  test('is left by a process that drains, and done by another one', async () => {
    const { world, imageId, taskId, answer } = await unpackSlowly();
    const other = await openUploadWorld(database(), { folder: world.folder });
    await world.uploads.drain();
    expect(await answer).toMatchObject({ reason: 'SERVER_DRAINING' });
    expect(await readTask(database(), taskId)).toMatchObject({
      state: 'RUNNING',
      phase: 'UNPACKING',
      writerProcessId: null,
    });
    expect(await segmentsLeft(other)).toBe(1);
    await expectUnpacked(other, imageId);
  });

  test('is done by another process if its own dies, and what that had written is removed', async () => {
    const { world, imageId, taskId, gate } = await unpackSlowly();
    gate.close();
    const other = await openUploadWorld(database(), { folder: world.folder });
    await loseProcess(database(), world);
    let finishes = 0;
    await detachLostWriters(
      database(),
      other.ledger,
      { id: world.processId, host: 'test' },
      () => (finishes += 1),
    );
    expect(finishes).toBe(1);
    expect(await readFaults(database(), taskId)).toMatchObject([
      { reason: 'SERVICE_LOST', fatal: false, phase: 'UNPACKING' },
    ]);
    expect(await segmentsLeft(other)).toBe(1);
    await expectUnpacked(other, imageId);
    expect((await readTask(database(), taskId)).state).toBe('SUCCEEDED');
  });

  test('is not published by a process that was wrongly taken for dead', async () => {
    const { world, imageId, taskId, gate, disk, answer } = await unpackSlowly();
    gate.close();
    const other = await openUploadWorld(database(), { folder: world.folder });
    await detachLostWriters(
      database(),
      other.ledger,
      { id: world.processId, host: 'test' },
      () => {},
    );
    expect(await segmentsLeft(other)).toBe(1);
    disk.mend();
    gate.open();
    expect(await answer).toMatchObject({ reason: 'TASK_TERMINAL' });
    await expectUnpacked(other, imageId);
    expect((await readTask(database(), taskId)).faultCount).toBe(1);
    expect(await segmentsLeft(other)).toBe(1);
  });

  test('fails with the image if processes die of it again and again', async () => {
    const { taskId } = await queueImage(database(), { decompress: true });
    const world = await openUploadWorld(database());
    await sendAll(world, taskId);
    await world.ledger.change(taskId, undefined, (entry) => {
      entry.enterPhase('UNPACKING', 'test');
      entry.task.finishSize = packed.length;
      for (let i = 0; i < 5; i++) {
        entry.survive({
          reason: 'SERVICE_LOST',
          code: 14,
          message: 'The service process died.',
          origin: 'SERVER',
          retryable: true,
        });
      }
    });
    await world.repair.run();
    await world.repair.settle();
    const faults = await readFaults(database(), taskId);
    expect(faults.at(-1)).toMatchObject({ reason: 'SERVICE_LOST', fatal: true });
    expect((await readTask(database(), taskId)).state).toBe('FAILED');
  });

  test('keeps its task alive as long as it gets on, and no longer', async () => {
    const { taskId, world, disk, answer } = await unpackSlowly({ idleTimeoutMs: 1500 });
    const began = Date.now();
    const { expireTime } = await readTask(database(), taskId);
    await expect
      .poll(async () => (await readTask(database(), taskId)).expireTime?.getTime(), patience)
      .toBeGreaterThan((expireTime?.getTime() ?? 0) + 300);
    disk.slow('append', 60_000);
    await expect
      .poll(async () => {
        await world.ledger.change(taskId, undefined, () => {}).catch(() => {});
        return (await readTask(database(), taskId)).state;
      }, patience)
      .toBe('FAILED');
    expect(await answer).toBeInstanceOf(DarkroomError);
    expect(Date.now() - began).toBeLessThan(15_000);
    const [fault] = await readFaults(database(), taskId);
    expect(fault).toMatchObject({ reason: 'TASK_EXPIRED', phase: 'UNPACKING', retryable: true });
    expect(fault?.message).toContain('awaited the service to unpack what came');
  });
});

describe('an unpacking for which there is no room yet', () => {
  test('waits for its turn without expiring, and can be cancelled', async () => {
    const disk = new FaultyStore();
    const world = await openUploadWorld(database(), { wrapStore: disk.wrap, unpackingLanes: 1 });
    const sent = [];
    for (const idleTimeoutMs of [60_000, 60_000, 6000]) {
      const queued = await queueImage(database(), { decompress: true, idleTimeoutMs });
      await sendAll(world, queued.taskId);
      sent.push(queued);
    }
    disk.slow('append', 1500);
    const answers = [];
    for (const { taskId } of sent) {
      const frames = framesOf(header(taskId), finish(packed.length));
      answers.push(
        world.uploads.receive(defaultCaller, frames, connection()).then(
          (outcome) => outcome,
          (error: unknown) => error,
        ),
      );
      await expect
        .poll(async () => (await readTask(database(), taskId)).writerProcessId, patience)
        .toBe(world.processId);
    }
    const cancelled = sent[1]?.taskId ?? '';
    await cancelTask({ ledger: world.ledger, onBlobsReleased: () => {} }, defaultCaller, {
      taskId: cancelled,
      reason: '',
    });
    expect(await answers[1]).toMatchObject({ reason: 'TASK_TERMINAL' });
    // It would have expired twice by then.
    const last = sent[2]!.taskId;
    const { writerSince, idleTimeoutMs } = await readTask(database(), last);
    await expect
      .poll(async () => (await readTask(database(), last)).expireTime?.getTime(), patience)
      .toBeGreaterThan((writerSince?.getTime() ?? 0) + 1.5 * idleTimeoutMs);
    disk.mend();
    expect(await answers[0]).toMatchObject({ complete: true });
    expect(await answers[2]).toMatchObject({ complete: true });
    await expectUnpacked(world, sent[2]!.imageId);
  });
});
