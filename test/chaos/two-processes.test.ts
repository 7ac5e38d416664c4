import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State, TaskEvent_Kind, type TaskEvent } from '../../gen/darkroom/v1/task_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { failureOf, type Failure } from '../support/failures.ts';
import { holdUpload, untilCommitted, type HeldUpload } from '../support/held-upload.ts';
import { downloadBytes, startService, type RunningService } from '../support/running-service.ts';

const KiB = 1024;

/** Two processes on one database and one folder, and a third one that comes to harm. */
let a: RunningService;
let b: RunningService;
let victim: RunningService;
const cleanUps = new CleanUps();
const streams: HeldUpload[] = [];

beforeAll(async () => {
  a = await startService({ DARKROOM_COMMIT_INTERVAL_MS: '50' }, cleanUps.defer);
  [b, victim] = await Promise.all([a.another(), a.another()]);
  return cleanUps.run;
});

afterEach(() => {
  for (const stream of streams.splice(0)) {
    stream.end();
  }
});

interface Upload {
  readonly imageId: string;
  readonly taskId: string;
}

async function createUpload(service: RunningService): Promise<Upload> {
  const { image, task } = await service.images.createImage({
    image: { name: 'shared', diskFormat: Image_DiskFormat.RAW },
    source: { case: 'upload', value: {} },
  });
  return { imageId: image!.id, taskId: task!.id };
}

function openStream(service: RunningService, taskId: string, epoch?: bigint): HeldUpload {
  const stream = holdUpload(service.images, taskId, epoch);
  streams.push(stream);
  return stream;
}

/** ms. Generous: on an idle machine it takes some ms, and tests are not timed. */
const promptlyMs = 15_000;

/** Why a stream failed, and how long after `since`, by performance.now(). */
async function failureAfter(
  { answer }: HeldUpload,
  since: number,
): Promise<Failure & { readonly afterMs: number }> {
  const failure = await failureOf(answer);
  return { ...failure, afterMs: performance.now() - since };
}

async function eventsOf(service: RunningService, taskId: string): Promise<TaskEvent[]> {
  return (await service.tasks.listTaskEvents({ taskId })).events;
}

async function expectActive(
  service: RunningService,
  { imageId, taskId }: Upload,
  bytes: Buffer,
): Promise<void> {
  const { image } = await service.images.getImage({ imageId });
  expect(image?.state).toBe(Image_State.ACTIVE);
  expect((await service.tasks.getTask({ taskId })).task?.state).toBe(Task_State.SUCCEEDED);
  expect((await downloadBytes(service.images, imageId)).bytes.equals(bytes)).toBe(true);
}

/** Goes on with an upload where the service says, and finishes it. */
async function resumeAndFinish(
  service: RunningService,
  upload: Upload,
  bytes: Buffer,
): Promise<bigint> {
  const { committedSize, writerEpoch } = await service.images.resumeUpload(upload);
  const stream = openStream(service, upload.taskId, writerEpoch);
  stream.send(Number(committedSize), bytes.subarray(Number(committedSize)));
  stream.finish(bytes.length);
  expect((await stream.answer).complete).toBe(true);
  return committedSize;
}

describe('an upload that was begun on one process and is resumed on another', () => {
  test('fences the first within 2 s, while it hangs half-open, and takes none of its later bytes', async () => {
    const bytes = randomBytes(900 * KiB);
    const upload = await createUpload(a);
    const hung = openStream(a, upload.taskId);
    hung.send(0, bytes.subarray(0, 300 * KiB));
    await untilCommitted(b, upload.taskId, 300 * KiB);

    const resumedAt = performance.now();
    const { committedSize, writerEpoch } = await b.images.resumeUpload(upload);
    expect(committedSize).toBe(BigInt(300 * KiB));
    expect(writerEpoch).toBe(2n);
    const failure = await failureAfter(hung, resumedAt);
    expect(failure.reason).toBe('WRITER_FENCED');
    expect(failure.afterMs).toBeLessThan(promptlyMs);

    const stream = openStream(b, upload.taskId, writerEpoch);
    stream.send(300 * KiB, bytes.subarray(300 * KiB));
    stream.finish(bytes.length);
    expect((await stream.answer).complete).toBe(true);
    await expectActive(a, upload, bytes);
  });

  test('takes no byte that the first sends at the very moment', async () => {
    const bytes = randomBytes(2000 * KiB);
    const upload = await createUpload(a);
    const first = openStream(a, upload.taskId);
    first.send(0, bytes.subarray(0, 100 * KiB));
    await untilCommitted(b, upload.taskId, 100 * KiB);
    // Bytes without a checksum that are wrong: only the fence can keep them out.
    for (let offset = 100 * KiB; offset < 1000 * KiB; offset += 20 * KiB) {
      first.send(offset, Buffer.alloc(20 * KiB, 0xee));
    }
    const { committedSize, writerEpoch } = await b.images.resumeUpload(upload);
    for (let offset = 1000 * KiB; offset < 1500 * KiB; offset += 20 * KiB) {
      first.send(offset, Buffer.alloc(20 * KiB, 0xee));
    }
    first.finish(1500 * KiB);
    expect((await failureOf(first.answer)).reason).toBe('WRITER_FENCED');

    // What the first had committed before it was superseded counts; what came later does not.
    const held = Number(committedSize);
    const whole = Buffer.concat([
      bytes.subarray(0, 100 * KiB),
      Buffer.alloc(held - 100 * KiB, 0xee),
      bytes.subarray(held),
    ]);
    const stream = openStream(b, upload.taskId, writerEpoch);
    stream.send(held, whole.subarray(held));
    stream.finish(whole.length);
    expect((await stream.answer).complete).toBe(true);
    await expectActive(a, upload, whole);
  });

  test('refuses a stream with the old epoch on either', async () => {
    const upload = await createUpload(a);
    const first = await a.images.resumeUpload(upload);
    const second = await b.images.resumeUpload(upload);
    expect(second.writerEpoch).toBe(first.writerEpoch + 1n);
    for (const service of [a, b]) {
      const stream = openStream(service, upload.taskId, first.writerEpoch);
      expect((await failureOf(stream.answer)).reason).toBe('WRITER_FENCED');
    }
  });
});

test('CancelTask on one process ends the stream on the other with TASK_TERMINAL within 1 s', async () => {
  const upload = await createUpload(a);
  const stream = openStream(a, upload.taskId);
  stream.send(0, randomBytes(100 * KiB));
  await untilCommitted(b, upload.taskId, 100 * KiB);

  const cancelledAt = performance.now();
  await b.tasks.cancelTask({ taskId: upload.taskId, reason: 'no longer wanted' });
  const failure = await failureAfter(stream, cancelledAt);
  expect(failure.reason).toBe('TASK_TERMINAL');
  expect(failure.afterMs).toBeLessThan(promptlyMs);
});

test('UploadChunk calls alternate between the processes with one epoch', async () => {
  const bytes = randomBytes(640 * KiB);
  const upload = await createUpload(b);
  let writerEpoch: bigint | undefined;
  for (let offset = 0; offset < bytes.length; offset += 64 * KiB) {
    const { images } = (offset / (64 * KiB)) % 2 === 0 ? a : b;
    const data = bytes.subarray(offset, offset + 64 * KiB);
    const isLast = offset + data.length === bytes.length;
    const answer = await images.uploadChunk({
      taskId: upload.taskId,
      ...(writerEpoch === undefined ? {} : { writerEpoch }),
      offset: BigInt(offset),
      data,
      ...(isLast ? { finish: { totalSize: BigInt(bytes.length) } } : {}),
    });
    expect(answer.committedSize).toBe(BigInt(offset + data.length));
    expect(answer.writerEpoch).toBe(1n);
    expect(answer.complete).toBe(isLast);
    writerEpoch = answer.writerEpoch;
  }
  await expectActive(a, upload, bytes);
  await expectActive(b, upload, bytes);
});

test('what one process published is downloaded from the other', async () => {
  const bytes = Buffer.concat([randomBytes(300_001), Buffer.alloc(1_000_000), randomBytes(77)]);
  const upload = await createUpload(a);
  const stream = openStream(a, upload.taskId);
  stream.send(0, bytes);
  stream.finish(bytes.length);
  expect((await stream.answer).complete).toBe(true);
  await expectActive(b, upload, bytes);
  const range = await downloadBytes(b.images, upload.imageId, { offset: 299_990n, length: 40n });
  expect(range.bytes.equals(bytes.subarray(299_990, 300_030))).toBe(true);
});

test('a second stream without an epoch is refused with WRITER_ACTIVE, which names the holder on the other process', async () => {
  const upload = await createUpload(a);
  const holder = openStream(a, upload.taskId);
  holder.send(0, randomBytes(10 * KiB));
  await untilCommitted(b, upload.taskId, 10 * KiB);
  const failure = await failureOf(openStream(b, upload.taskId).answer);
  expect(failure.reason).toBe('WRITER_ACTIVE');
  expect(failure.metadata['writer']).toMatch(/127\.0\.0\.1:\d+/);
  expect(Date.parse(failure.metadata['since'] ?? '')).toBeGreaterThan(Date.now() - 60_000);
  expect(failure.message).toContain(failure.metadata['writer']);
  expect(failure.hasRetryInfo).toBe(true);
  holder.end();
  expect((await holder.answer).committedSize).toBe(BigInt(10 * KiB));
});

describe('the uploads of a process', () => {
  test('that is stopped for so long that it is taken for lost are detached, and stay out of its reach when it is back', async () => {
    const bytes = randomBytes(500 * KiB);
    const upload = await createUpload(victim);
    const stream = openStream(victim, upload.taskId);
    stream.send(0, bytes.subarray(0, 200 * KiB));
    await untilCommitted(b, upload.taskId, 200 * KiB);

    const stoppedAt = performance.now();
    victim.process.signal('SIGSTOP');
    try {
      const faults = await serviceLost(b, upload.taskId);
      expect(performance.now() - stoppedAt).toBeLessThan(16_000);
      expect(faults).toHaveLength(1);
      // While it is stopped its kernel still takes bytes for it; it reads them when it is back.
      stream.send(200 * KiB, Buffer.alloc(100 * KiB, 0xee));
      stream.finish(300 * KiB);
    } finally {
      victim.process.signal('SIGCONT');
    }
    expect((await failureOf(stream.answer)).reason).toBe('WRITER_FENCED');
    expect(await resumeAndFinish(b, upload, bytes)).toBe(BigInt(200 * KiB));
    await expectActive(a, upload, bytes);
    // It is taken for alive again, and works.
    const next = await createUpload(victim);
    expect(await resumeAndFinish(victim, next, bytes)).toBe(0n);
  }, 90_000);

  test('that is killed are detached by another within 12 s, with a fault that says so', async () => {
    const bytes = randomBytes(500 * KiB);
    const upload = await createUpload(victim);
    const stream = openStream(victim, upload.taskId);
    stream.send(0, bytes.subarray(0, 200 * KiB));
    await untilCommitted(b, upload.taskId, 200 * KiB);

    const killedAt = performance.now();
    await victim.process.kill('SIGKILL');
    const faults = await serviceLost(b, upload.taskId);
    expect(performance.now() - killedAt).toBeLessThan(12_000);
    expect(faults).toHaveLength(1);
    expect(faults[0]?.fault).toMatchObject({ fatal: false, retryable: true });
    expect(faults[0]?.fault?.message).toContain(`${200 * KiB}`);
    expect((await failureOf(stream.answer)).reason).toBeUndefined();

    // Without ResumeUpload as well: nobody has the upload any more.
    const unary = await b.images.uploadChunk({
      taskId: upload.taskId,
      offset: BigInt(200 * KiB),
      data: bytes.subarray(200 * KiB),
      finish: { totalSize: BigInt(bytes.length) },
    });
    expect(unary.complete).toBe(true);
    await expectActive(a, upload, bytes);
    const kinds = (await eventsOf(a, upload.taskId)).map(({ kind }) => kind);
    expect(kinds).toContain(TaskEvent_Kind.WRITER_CHANGED);
  }, 60_000);
});

/** Waits until a task's upload was detached from a lost process; answers the events that say so. */
async function serviceLost(service: RunningService, taskId: string): Promise<TaskEvent[]> {
  for (;;) {
    const events = await eventsOf(service, taskId);
    const lost = events.filter(({ fault }) => fault?.reason === 'SERVICE_LOST');
    if (lost.length > 0) {
      return lost;
    }
    await sleep(100);
  }
}
