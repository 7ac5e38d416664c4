import { createHash, randomBytes } from 'node:crypto';
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import type { DarkroomClient, SeekableSource, UploadProgress } from '../../src/client/exports.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';
import { hasty, roads } from './clients.ts';
import { RoughProxy } from './rough-proxy.ts';

const mib = 1024 * 1024;
const image = { name: 'disk', diskFormat: Image_DiskFormat.RAW };
const bytes = randomBytes(6 * mib);
const sha256 = createHash('sha256').update(bytes).digest('hex');

let service: RunningService;
let folder: string;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({ DARKROOM_COMMIT_INTERVAL_MS: '20' }, cleanUps.defer);
  const dir = await makeDataDir();
  folder = dir.path;
  cleanUps.defer(() => dir.remove());
  return cleanUps.run;
});

/** Gives so much, and the rest when `go` resolves. */
function halting(until: number, go: Promise<unknown>, size = bytes.length): SeekableSource {
  return {
    size,
    async *open(offset) {
      if (offset < until) {
        yield bytes.subarray(offset, until);
      }
      await go;
      yield bytes.subarray(Math.max(offset, until));
    },
  };
}

/** Resolves with the task's id when an upload that halts has so much for good. */
async function begun(
  darkroom: DarkroomClient,
  committed: number,
  start: (onTask: (ids: { taskId: string }) => void) => void,
): Promise<string> {
  const taskId = await new Promise<string>((resolve) => start((ids) => resolve(ids.taskId)));
  await expect
    .poll(async () => (await darkroom.tasks.getTask({ taskId })).task?.progress?.bytesDone)
    .toBe(BigInt(committed));
  return taskId;
}

const never = new Promise<never>(() => undefined);

describe.each(Object.entries(roads).slice(0, 4))('an upload by %s', (road, client) => {
  const connect = (url = service.process.url): DarkroomClient => client(url, { retry: hasty });

  test('that is aborted can be gone on with by another program', async () => {
    const darkroom = connect();
    const abort = new AbortController();
    const reason = new Error('the laptop is closed');
    let first: Promise<unknown> = Promise.resolve();
    const taskId = await begun(darkroom, 4 * mib, (onTask) => {
      first = darkroom.uploadImage(halting(4 * mib, never), {
        image,
        signal: abort.signal,
        onTask,
      });
      first.catch(() => undefined);
    });
    abort.abort(reason);
    await expect(first).rejects.toBe(reason);
    const told: UploadProgress[] = [];
    const result = await connect().uploadImage(new Blob([bytes]), {
      taskId,
      onProgress: (progress) => told.push(progress),
    });
    expect(result).toMatchObject({ sha256, image: { sha256 }, sentBytes: 2 * mib, resumes: 1 });
    expect(told.some(({ step }) => step === 'reading')).toBe(true);
  });

  test('is not gone on with from another source', async () => {
    const darkroom = connect();
    const abort = new AbortController();
    const taskId = await begun(darkroom, 4 * mib, (onTask) => {
      darkroom
        .uploadImage(halting(4 * mib, never), { image, signal: abort.signal, onTask })
        .catch(() => undefined);
    });
    abort.abort();
    const other = Buffer.from(bytes);
    other[0] = other[0]! ^ 1;
    await expect(darkroom.uploadImage(new Blob([other]), { taskId })).rejects.toMatchObject({
      reason: 'REPLAY_MISMATCH',
    });
    await expect(
      darkroom.uploadImage(new Blob([bytes.subarray(0, mib)]), { taskId }),
    ).rejects.toMatchObject({ reason: 'SOURCE_CHANGED', origin: 'client' });
    expect((await darkroom.uploadImage(new Blob([bytes]), { taskId })).sha256).toBe(sha256);
  });

  test('stops when another writer takes it, and the other one goes on', async () => {
    const [one, other] = [connect(), connect()];
    const go = Promise.withResolvers<void>();
    let first: Promise<unknown> = Promise.resolve();
    const taskId = await begun(one, 4 * mib, (onTask) => {
      first = one.uploadImage(halting(4 * mib, go.promise), { image, onTask });
      first.catch(() => undefined);
    });
    const second = await other.uploadImage(new Blob([bytes]), { taskId });
    go.resolve();
    if (road.startsWith('fetch')) {
      // Its next call comes when the other one is done: the same bytes again, which the service compares and has.
      await expect(first).resolves.toMatchObject({ sha256 });
    } else {
      await expect(first).rejects.toMatchObject({ reason: 'WRITER_FENCED' });
    }
    expect(second.image.state).toBe(Image_State.ACTIVE);
  });

  test('takes itself back where it is told to, and ends once', async () => {
    const [one, other] = [connect(), connect()];
    const go = Promise.withResolvers<void>();
    let first: Promise<unknown> = Promise.resolve();
    const taskId = await begun(one, 4 * mib, (onTask) => {
      const options = { image, onTask, chunkBytes: mib, onFenced: 'take-back' } as const;
      first = one.uploadImage(halting(4 * mib, go.promise), options);
      first.catch(() => undefined);
    });
    const second = other.uploadImage(halting(5 * mib, never), { taskId, chunkBytes: mib });
    second.catch(() => undefined);
    await expect
      .poll(async () => (await one.tasks.getTask({ taskId })).task?.progress?.bytesDone)
      .toBe(BigInt(5 * mib));
    go.resolve();
    await expect(first).resolves.toMatchObject({ sha256, image: { state: Image_State.ACTIVE } });
    const { events } = await one.tasks.listTaskEvents({ taskId });
    expect(events.filter(({ state }) => state === Task_State.SUCCEEDED)).toHaveLength(1);
  });

  test('whose task is cancelled fails as TASK_CANCELLED', async () => {
    const darkroom = connect();
    const go = Promise.withResolvers<void>();
    let first: Promise<unknown> = Promise.resolve();
    const taskId = await begun(darkroom, 4 * mib, (onTask) => {
      first = darkroom.uploadImage(halting(4 * mib, go.promise), { image, onTask });
      first.catch(() => undefined);
    });
    await darkroom.tasks.cancelTask({ taskId });
    go.resolve();
    await expect(first).rejects.toMatchObject({ reason: 'TASK_CANCELLED' });
  });

  test('goes through the death of the service, in the middle and at its end', async () => {
    const mortal = await startService({ DARKROOM_COMMIT_INTERVAL_MS: '20' });
    await using proxy = await RoughProxy.open(mortal.process.url);
    const darkroom = connect(proxy.url);
    const go = Promise.withResolvers<void>();
    let first: Promise<unknown> = Promise.resolve();
    await begun(darkroom, 4 * mib, (onTask) => {
      first = darkroom.uploadImage(halting(4 * mib, go.promise), { image, onTask });
      first.catch(() => undefined);
    });
    await mortal.process.kill('SIGKILL');
    const next = await mortal.another();
    proxy.leadTo(next.process.url);
    go.resolve();
    await expect(first).resolves.toMatchObject({ sha256, image: { state: Image_State.ACTIVE } });
  });

  // With a call for each piece there is no moment at which only the last answer is left.
  test.runIf(!road.startsWith('fetch'))('whose last answer is lost is complete', async () => {
    await using proxy = await RoughProxy.open(service.process.url);
    const darkroom = connect(proxy.url);
    // So few that the service need not say that it takes more.
    const few = bytes.subarray(0, 100_000);
    let taskId = '';
    const result = await darkroom.uploadImage(
      {
        size: few.length,
        async *open(offset) {
          yield few.subarray(offset);
          // Everything was read: from here on no answer comes through until the task has succeeded.
          if (offset < few.length && proxy.isOpen) {
            proxy.holdAnswers();
            void expect
              .poll(async () => (await service.tasks.getTask({ taskId })).task?.state)
              .toBe(Task_State.SUCCEEDED)
              .then(() => proxy.cutAll());
          }
        },
      },
      { image, onTask: (ids) => void (taskId = ids.taskId) },
    );
    expect(result).toMatchObject({ resumes: 1, image: { state: Image_State.ACTIVE } });
    expect(result.image.sha256).toBe(result.sha256);
  });
});

test('a file that was changed while it was uploaded never becomes an image', async () => {
  const path = join(folder, 'changing');
  await writeFile(path, bytes);
  const darkroom = roads['connect-node, gRPC']!(service.process.url, { retry: hasty });
  let imageId = '';
  const uploaded = darkroom.uploadImage(path, {
    image,
    async onTask(ids) {
      ({ imageId } = ids);
      await utimes(path, new Date(), new Date(Date.now() + 1000));
    },
  });
  await expect(uploaded).rejects.toMatchObject({ reason: 'SOURCE_CHANGED', origin: 'client' });
  const { image: made } = await darkroom.images.getImage({ imageId });
  expect(made?.state).toBe(Image_State.QUEUED);
});

test('what waits tries again at once when it is told that the network is back', async () => {
  await using proxy = await RoughProxy.open(service.process.url);
  proxy.plan([{ kind: 'refuse' }]);
  const retry = {
    firstDelayMs: 3_000_000,
    longestDelayMs: 3_000_000,
    giveUpWithoutProgressMs: Infinity,
  };
  const darkroom = roads['connect-node, gRPC']!(proxy.url, { retry });
  const result = await darkroom.uploadImage(new Blob([bytes]), {
    image,
    onProgress: ({ waiting }) => {
      if (waiting !== undefined) {
        expect(waiting.error.origin).toBe('network');
        setImmediate(() => darkroom.retryNow());
      }
    },
  });
  expect(result.sha256).toBe(sha256);
});

test('a stream that is silent for long goes on when it gives more', async () => {
  const impatient = await startService({
    DARKROOM_STREAM_IDLE_TIMEOUT_MS: '1000',
    DARKROOM_COMMIT_INTERVAL_MS: '20',
  });
  const darkroom = roads['connect-node, gRPC']!(impatient.process.url, { retry: hasty });
  const go = Promise.withResolvers<void>();
  let taskId = '';
  const uploaded = darkroom.uploadImage(
    (async function* () {
      yield bytes.subarray(0, mib);
      await go.promise;
      yield bytes.subarray(mib);
    })(),
    { image, idleTimeoutMs: 1500, onTask: (ids) => void (taskId = ids.taskId) },
  );
  uploaded.catch(() => undefined);
  const begunMs = Date.now();
  await expect.poll(() => Date.now() - begunMs).toBeGreaterThan(3_000);
  go.resolve();
  await expect(uploaded).resolves.toMatchObject({ sha256 });
  // It ended its own streams, so that nothing is told as a fault.
  const { faults } = await darkroom.tasks.listFaults({ of: { case: 'taskId', value: taskId } });
  expect(faults).toEqual([]);
});

test('a stream keeps no more than its window, however long it is', async () => {
  const darkroom = roads['grpc-js']!(service.process.url, { retry: hasty });
  let given = 0;
  let most = 0;
  const block = randomBytes(256 * 1024);
  const result = await darkroom.uploadImage(
    (async function* () {
      for (let i = 0; i < 256; i += 1) {
        given += block.length;
        yield block;
      }
    })(),
    {
      image,
      windowBytes: 4 * mib,
      onProgress: ({ committedBytes, step }) => {
        if (step === 'sending') {
          most = Math.max(most, given - committedBytes);
        }
      },
    },
  );
  expect(result.sizeBytes).toBe(64 * mib);
  // The window, what is gathered, and what was read for the next pieces.
  expect(most).toBeLessThan(10 * mib);
});
