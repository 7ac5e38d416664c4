import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { defaultCaller } from '../../../src/access/caller.ts';
import type { ImageId, TaskId } from '../../../src/records/ids.ts';
import { useDatabase } from '../../support/test-database.ts';
import {
  failureOf,
  queueImage,
  readFaults,
  readImage,
  readTask,
  sha256,
  useUploadWorld,
} from '../../support/upload-world.ts';
import { expectActive } from '../complete-upload.ts';
import { sendBody, type SentBody } from '../sent-body.ts';

const database = useDatabase();
const world = useUploadWorld(database);

const data = Buffer.concat([randomBytes(250_000), Buffer.alloc(100_000), randomBytes(50_000)]);

function send(taskId: TaskId, bytes: Uint8Array, sent?: SentBody) {
  return sendBody(world(), taskId, bytes, sent);
}

/** An upload of which the first bytes came, and then nothing more. */
async function brokenOff(
  bytes = 150_000,
  sent: SentBody = {},
): Promise<{ imageId: ImageId; taskId: TaskId }> {
  const queued = await queueImage(database());
  const failure = await failureOf(
    send(queued.taskId, data.subarray(0, bytes), { ...sent, breaks: true }),
  );
  expect(failure).toMatchObject({
    reason: 'CONNECTION_LOST',
    metadata: { committed_size: String(bytes) },
  });
  return queued;
}

async function expectQueued(imageId: ImageId, taskId: TaskId, committedSize: number) {
  expect(await readImage(database(), imageId)).toMatchObject({
    state: 'QUEUED',
    outlook: 'EXPECTED',
  });
  expect(await readTask(database(), taskId)).toMatchObject({
    state: 'RUNNING',
    committedSize,
    writerProcessId: null,
  });
}

describe('a body whose end is the image’s', () => {
  test.each<[string, SentBody]>([
    ['says nothing', {}],
    ['says its size', { size: data.length, length: data.length }],
    ['says a sha256', { sha256: sha256(data) }],
    ['says a sha256 at its end', { sha256AtEnd: sha256(data) }],
    ['says a sha512', { sha512: createHash('sha512').update(data).digest('hex') }],
  ])('makes the image ACTIVE: it %s', async (_, sent) => {
    const { imageId, taskId } = await queueImage(database());
    expect(await send(taskId, data, sent)).toMatchObject({
      complete: true,
      committedSize: data.length,
    });
    await expectActive(world(), imageId, data);
    expect(await readFaults(database(), taskId)).toEqual([]);
  });

  test.each<[string, SentBody]>([
    ['sha256', { sha256: sha256(randomBytes(1)) }],
    ['sha256 at its end', { sha256AtEnd: sha256(randomBytes(1)) }],
    ['sha512', { sha512: createHash('sha512').digest('hex') }],
  ])('with another %s than was said makes none', async (_, sent) => {
    const { imageId, taskId } = await queueImage(database());
    expect(await failureOf(send(taskId, data, sent))).toMatchObject({ reason: 'DIGEST_MISMATCH' });
    expect(await readImage(database(), imageId)).toMatchObject({
      state: 'QUEUED',
      outlook: 'NOT_COMING',
    });
    expect(await readTask(database(), taskId)).toMatchObject({ state: 'FAILED' });
  });

  test('ends before the size that was said: it is kept, and can be gone on with', async () => {
    const { imageId, taskId } = await queueImage(database());
    const short = send(taskId, data.subarray(0, 200_000), { size: data.length });
    expect(await failureOf(short)).toMatchObject({ reason: 'STATEMENT_MISMATCH' });
    await expectQueued(imageId, taskId, 200_000);
    const rest = { at: 200_000, size: data.length, length: data.length - 200_000 };
    await send(taskId, data.subarray(200_000), rest);
    await expectActive(world(), imageId, data);
  });

  test('has more bytes than were said: the attempt ends', async () => {
    const { imageId, taskId } = await queueImage(database());
    const long = send(taskId, data, { size: data.length - 1 });
    expect(await failureOf(long)).toMatchObject({ reason: 'SIZE_EXCEEDED' });
    expect(await readImage(database(), imageId)).toMatchObject({ outlook: 'NOT_COMING' });
  });

  test('is said to be larger than any may be: nothing is taken, and the task goes on', async () => {
    const { taskId } = await queueImage(database());
    const large = send(taskId, data, { size: 2 ** 40 });
    expect(await failureOf(large)).toMatchObject({ reason: 'SIZE_EXCEEDED' });
    expect(await readTask(database(), taskId)).toMatchObject({ state: 'PENDING', faultCount: 0 });
  });
});

describe('after a body that broke off', () => {
  test('one that says nothing is not taken, whatever it has', async () => {
    const { imageId, taskId } = await brokenOff();
    for (const bytes of [data, data.subarray(150_000), Buffer.alloc(0)]) {
      expect(await failureOf(send(taskId, bytes))).toMatchObject({
        reason: 'SIZE_UNSTATED',
        metadata: { committed_size: '150000' },
      });
    }
    await expectQueued(imageId, taskId, 150_000);
  });

  test.each<[string, SentBody]>([
    ['says its size', { size: data.length, length: data.length }],
    ['says a digest', { sha256: sha256(data) }],
  ])('the whole comes again and %s', async (_, sent) => {
    const { imageId, taskId } = await brokenOff();
    await send(taskId, data, sent);
    await expectActive(world(), imageId, data);
  });

  test('the whole comes again, where the first one had said the size', async () => {
    const { imageId, taskId } = await brokenOff(150_000, { size: data.length });
    await send(taskId, data);
    await expectActive(world(), imageId, data);
  });

  test('one that says another size is not taken', async () => {
    const { imageId, taskId } = await brokenOff(150_000, { size: data.length });
    const rest = data.subarray(150_000);
    const failure = await failureOf(send(taskId, rest, { size: rest.length, length: rest.length }));
    expect(failure).toMatchObject({ reason: 'STATEMENT_MISMATCH' });
    await expectQueued(imageId, taskId, 150_000);
  });

  test('one that differs from what is stored is not taken', async () => {
    const { imageId, taskId } = await brokenOff();
    const other = randomBytes(data.length);
    expect(await failureOf(send(taskId, other, { size: other.length }))).toMatchObject({
      reason: 'REPLAY_MISMATCH',
    });
    await expectQueued(imageId, taskId, 150_000);
  });

  test('one that ends within what is stored is not taken for whole', async () => {
    const { imageId, taskId } = await brokenOff();
    const part = data.subarray(0, 100_000);
    const failure = await failureOf(send(taskId, part, { sha256: sha256(part) }));
    expect(failure).toMatchObject({ reason: 'STATEMENT_MISMATCH' });
    await expectQueued(imageId, taskId, 150_000);
  });

  test('the rest goes on where it says that it belongs', async () => {
    const { imageId, taskId } = await brokenOff();
    const gap = send(taskId, data.subarray(150_001), { at: 150_001 });
    expect(await failureOf(gap)).toMatchObject({
      reason: 'OFFSET_MISMATCH',
      metadata: { expected_offset: '150000', committed_size: '150000' },
    });
    // What is there already is compared.
    await send(taskId, data.subarray(120_000, 200_000), { at: 120_000, isLast: false });
    await expectQueued(imageId, taskId, 200_000);
    await send(taskId, data.subarray(200_000), { at: 200_000, size: data.length });
    await expectActive(world(), imageId, data);
  });

  test('all parts may come before it is said that they are all', async () => {
    const { imageId, taskId } = await brokenOff();
    await send(taskId, data.subarray(150_000), { at: 150_000, isLast: false });
    await expectQueued(imageId, taskId, data.length);
    await send(taskId, Buffer.alloc(0), { at: data.length, size: data.length, length: 0 });
    await expectActive(world(), imageId, data);
  });

  test('a part that is not as long as was said is no end', async () => {
    const { imageId, taskId } = await brokenOff();
    const sent = { at: 150_000, size: data.length, length: data.length - 150_000 };
    const failure = await failureOf(send(taskId, data.subarray(150_000, 160_000), sent));
    expect(failure).toMatchObject({ reason: 'STATEMENT_MISMATCH' });
    await expectQueued(imageId, taskId, 160_000);
  });
});

test('a source that is sent on from where it was when it broke off never becomes an image of the rest', async () => {
  const sources = fc.constantFrom(
    () => randomBytes(120_000),
    () => Buffer.alloc(120_000),
    // The same again and again: its rest begins as it does itself.
    () => Buffer.alloc(120_000, randomBytes(1000)),
  );
  // How much of it came, and how much was on its way and is lost.
  const attempt = fc.record({ read: fc.nat({ max: 60_000 }), lost: fc.nat({ max: 60_000 }) });
  const attempts = fc.array(attempt, { minLength: 1, maxLength: 3 });
  // A sender that says how long its body is says it each time, of what is left.
  const property = fc.asyncProperty(sources, attempts, fc.boolean(), async (make, all, isSized) => {
    const source = make();
    const { imageId, taskId } = await queueImage(database());
    const sendRest = async (at: number, sent: SentBody, end = source.length): Promise<void> => {
      const length = source.length - at;
      const said = isSized ? { size: length, length } : {};
      await send(taskId, source.subarray(at, end), { ...said, ...sent }).catch(() => {});
    };
    let at = 0;
    for (const { read, lost } of all) {
      await sendRest(at, { breaks: true }, at + read);
      at = Math.min(source.length, at + read + lost);
    }
    await sendRest(at, {});
    const { state } = await readImage(database(), imageId);
    if (at > 0) {
      expect(state).toBe('QUEUED');
    }
    await send(taskId, source, {
      size: source.length,
      length: source.length,
      sha256: sha256(source),
    });
    await expectActive(world(), imageId, source);
  });
  await fc.assert(property, { numRuns: 40 });
});

describe('to an image that is ACTIVE by the same upload', () => {
  async function active(): Promise<{ imageId: ImageId; taskId: TaskId }> {
    const queued = await queueImage(database());
    await send(queued.taskId, data);
    return queued;
  }

  test.each<[string, Uint8Array, SentBody]>([
    ['the same bytes', data, {}],
    ['the same bytes with size and digest', data, { size: data.length, sha256: sha256(data) }],
    ['nothing, of a source that was read to its end', Buffer.alloc(0), {}],
  ])('%s come again: it is answered as before', async (_, bytes, sent) => {
    const { imageId, taskId } = await active();
    expect(await send(taskId, bytes, sent)).toMatchObject({ complete: true });
    await expectActive(world(), imageId, data);
  });

  test.each<[string, Uint8Array, SentBody, string]>([
    ['other bytes', randomBytes(data.length), {}, 'REPLAY_MISMATCH'],
    ['fewer', data.subarray(0, 100_000), {}, 'SIZE_EXCEEDED'],
    ['more', Buffer.concat([data, data]), {}, 'SIZE_EXCEEDED'],
    ['none, which are said to be all', Buffer.alloc(0), { size: 0, length: 0 }, 'SIZE_EXCEEDED'],
    ['the same with another digest', data, { sha256: '0'.repeat(64) }, 'DIGEST_MISMATCH'],
  ])('%s are refused', async (_, bytes, sent, reason) => {
    const { imageId, taskId } = await active();
    expect(await failureOf(send(taskId, bytes, sent))).toMatchObject({ reason });
    await expectActive(world(), imageId, data);
  });
});

describe('staged bytes', () => {
  const stage = { purpose: 'stage' } as const;

  test('become the image when they are imported', async () => {
    const { imageId, taskId } = await queueImage(database());
    expect(await send(taskId, data, stage)).toMatchObject({ complete: false });
    expect(await readTask(database(), taskId)).toMatchObject({
      state: 'RUNNING',
      stagedSize: data.length,
      isStaging: true,
    });
    await world().uploads.importStaged(defaultCaller, taskId, 'request-1');
    await expect
      .poll(async () => (await readImage(database(), imageId)).state, { timeout: 10_000 })
      .toBe('ACTIVE');
    await expectActive(world(), imageId, data);
  });

  test('are checked when they are imported', async () => {
    const { imageId, taskId } = await queueImage(database());
    await send(taskId, data, { ...stage, sha256: sha256(randomBytes(1)) });
    await world().uploads.importStaged(defaultCaller, taskId, 'request-1');
    await expect
      .poll(async () => (await readTask(database(), taskId)).state, { timeout: 10_000 })
      .toBe('FAILED');
    expect(await readImage(database(), imageId)).toMatchObject({
      state: 'QUEUED',
      outlook: 'NOT_COMING',
    });
    expect(await readFaults(database(), taskId)).toMatchObject([{ reason: 'DIGEST_MISMATCH' }]);
  });

  test.each<[string, (taskId: TaskId) => Promise<unknown>]>([
    ['nothing is staged', () => Promise.resolve()],
    [
      'the stage broke off',
      (taskId) => failureOf(send(taskId, data.subarray(0, 50_000), { ...stage, breaks: true })),
    ],
    ['it was uploaded in part', (taskId) => failureOf(send(taskId, data, { breaks: true }))],
  ])('are not imported where %s', async (_, before) => {
    const { imageId, taskId } = await queueImage(database());
    await before(taskId);
    const failure = await failureOf(
      world().uploads.importStaged(defaultCaller, taskId, 'request-1'),
    );
    expect(failure).toMatchObject({ reason: 'IMAGE_STATE_INVALID' });
    expect(await readImage(database(), imageId)).toMatchObject({ state: 'QUEUED' });
  });

  test('can be staged again after they broke off, and the same again when they are whole', async () => {
    const { imageId, taskId } = await queueImage(database());
    await failureOf(send(taskId, data.subarray(0, 50_000), { ...stage, breaks: true }));
    expect(await failureOf(send(taskId, data.subarray(50_000), stage))).toMatchObject({
      reason: 'SIZE_UNSTATED',
    });
    await send(taskId, data, { ...stage, size: data.length });
    await send(taskId, data, stage);
    expect(await failureOf(send(taskId, data))).toMatchObject({ reason: 'IMAGE_STATE_INVALID' });
    await world().uploads.importStaged(defaultCaller, taskId, 'request-1');
    await expect
      .poll(async () => (await readImage(database(), imageId)).state, { timeout: 10_000 })
      .toBe('ACTIVE');
    await expectActive(world(), imageId, data);
  });
});
