import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Task_State as TaskState } from '../../../gen/darkroom/v1/task_pb.ts';
import {
  Image_Outlook as ImageOutlook,
  Image_State as ImageState,
} from '../../../gen/darkroom/v1/image_pb.ts';
import type { RunningService } from '../../support/running-service.ts';
import { makeUpload, sharedService } from './fixtures.ts';
import {
  ask,
  expectBytes,
  holdPut,
  imageState,
  put,
  putChunked,
  putHttp2,
  putWhenAsked,
  sendRaw,
  untilStored,
  type Headers,
} from './put-fixtures.ts';

const MiB = 1024 * 1024;
const service = sharedService({ DARKROOM_STREAM_IDLE_TIMEOUT_MS: '4000' });

/** Bytes, zeros, bytes: more than a chunk, and no multiple of one. */
const bytes = Buffer.concat([
  randomBytes(2 * MiB + 12_345),
  Buffer.alloc(MiB),
  randomBytes(100_000),
]);

function digestOf(algorithm: 'sha256' | 'sha512', data: Uint8Array): string {
  const base64 = createHash(algorithm).update(data).digest('base64');
  return `${algorithm === 'sha256' ? 'sha-256' : 'sha-512'}=:${base64}:`;
}

/** An image that waits for its bytes. */
async function newImage(of: RunningService = service()) {
  const { imageId, taskId } = await makeUpload(of);
  return { imageId, taskId, path: `/v2/images/${imageId}/file`, task: `/v2/tasks/${taskId}` };
}

async function taskOf(taskId: string) {
  return (await service().tasks.getTask({ taskId })).task;
}

/** An image of whose bytes the first have come, before the connection broke. */
async function brokenOff(sent = bytes.subarray(0, MiB), headers: Headers = {}) {
  const image = await newImage();
  const held = holdPut(service(), image.path, headers);
  await held.send(sent);
  await untilStored(service(), image.path, sent.length);
  held.cut();
  await expect
    .poll(async () => (await taskOf(image.taskId))?.lastFault?.reason, { timeout: 20_000 })
    .toBe('CONNECTION_LOST');
  return image;
}

async function expectQueued(imageId: string): Promise<void> {
  expect(await imageState(service(), imageId)).toMatchObject({ state: ImageState.QUEUED });
}

describe('the bytes of an image', () => {
  test.each<[string, Headers]>([
    ['by their length', {}],
    ['in chunks', { 'transfer-encoding': 'chunked' }],
    [
      'in chunks, with their size',
      { 'transfer-encoding': 'chunked', 'x-openstack-image-size': bytes.length },
    ],
    ['with a sha256', { 'repr-digest': digestOf('sha256', bytes) }],
    ['with a sha512', { 'content-digest': digestOf('sha512', bytes) }],
    [
      'with both, and one that nobody knows',
      {
        'repr-digest': `${digestOf('sha512', bytes)}, unixsum=:AAA=:, ${digestOf('sha256', bytes)}`,
      },
    ],
    ['without a content type', { 'content-type': '' }],
  ])('are put %s', async (_, headers) => {
    const { imageId, path, task } = await newImage();
    const answer = await put(service(), path, bytes, headers);
    expect(answer).toMatchObject({ status: 204, body: '' });
    expect(answer.headers['link']).toBe(`<${task}>; rel="monitor"`);
    expect(answer.headers['x-openstack-request-id']).toMatch(/./);
    expect(await imageState(service(), imageId)).toMatchObject({
      state: ImageState.ACTIVE,
      sizeBytes: BigInt(bytes.length),
      sha256: createHash('sha256').update(bytes).digest('hex'),
    });
    await expectBytes(service(), imageId, bytes);
  });

  test.each([
    ['with their length', { 'content-length': bytes.length }],
    ['without', {}],
  ])('are put over HTTP/2, %s', async (_, headers) => {
    const { imageId, path } = await newImage();
    expect(await putHttp2(service(), path, bytes, headers)).toMatchObject({ status: 204 });
    await expectBytes(service(), imageId, bytes);
  });

  test('may be none, if their sender says so', async () => {
    const none = Buffer.alloc(0);
    const { imageId, path } = await newImage();
    expect(await putChunked(service(), path, none)).toMatchObject({
      status: 409,
      reason: 'SIZE_UNSTATED',
    });
    await expectQueued(imageId);
    expect(await put(service(), path, none)).toMatchObject({ status: 204 });
    await expectBytes(service(), imageId, none);
  });

  test.each([1, 4096, 65_536, 65_537, MiB, MiB + 1])('may be %i', async (size) => {
    for (const send of [put, putChunked]) {
      const { imageId, path } = await newImage();
      const some = randomBytes(size);
      expect(await send(service(), path, some)).toMatchObject({ status: 204 });
      await expectBytes(service(), imageId, some);
    }
  });

  test('are put by a client that waits for the word to send them, and learns of a refusal before', async () => {
    const { imageId, path } = await newImage();
    expect(await putWhenAsked(service(), path, bytes)).toEqual({ status: 204, wasAsked: true });
    await expectBytes(service(), imageId, bytes);
    const { path: broken } = await brokenOff();
    for (const [refused, status] of [
      [`/v2/images/${randomUUID()}/file`, 404],
      [broken, 409],
    ] as const) {
      expect(await putWhenAsked(service(), refused, bytes)).toEqual({ status, wasAsked: false });
    }
  });

  test('may have their digest after them, in a trailer', async () => {
    const chunked = (digest: string): [string, Buffer, string] => [
      `host: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\ntrailer: repr-digest\r\n\r\n` +
        `${bytes.length.toString(16)}\r\n`,
      bytes,
      `\r\n0\r\nrepr-digest: ${digest}\r\n\r\n`,
    ];
    const wrong = await newImage();
    const [head, body, tail] = chunked(digestOf('sha256', randomBytes(1)));
    expect(await sendRaw(service(), `PUT ${wrong.path} HTTP/1.1\r\n${head}`, body, tail)).toMatch(
      /^HTTP\/1.1 400 [^]*DIGEST_MISMATCH/,
    );
    await expectQueued(wrong.imageId);
    const right = await newImage();
    const [begin, , end] = chunked(digestOf('sha256', bytes));
    expect(await sendRaw(service(), `PUT ${right.path} HTTP/1.1\r\n${begin}`, body, end)).toMatch(
      /^HTTP\/1.1 204 /,
    );
    await expectBytes(service(), right.imageId, bytes);
  });
});

describe('what contradicts itself is refused, and nothing is taken', () => {
  const rangeOf = (range: string): Headers => ({ 'content-range': range });
  test.each<[string, number, string, Headers]>([
    ['a size that is not the length', 400, 'FIELD_INVALID', { 'x-openstack-image-size': 1 }],
    ['a size that is none', 400, 'FIELD_INVALID', { 'x-openstack-image-size': 'big' }],
    ['a range that is not the length', 400, 'FIELD_INVALID', rangeOf('bytes 0-9/10')],
    ['a range that ends before it begins', 400, 'FIELD_INVALID', rangeOf('bytes 9-0/10')],
    ['a range past its end', 400, 'FIELD_INVALID', rangeOf('bytes 0-9/9')],
    ['a range of something else', 400, 'FIELD_INVALID', rangeOf('rows 0-9/10')],
    ['a digest that cannot be read', 400, 'FIELD_INVALID', { 'repr-digest': 'sha-256=abc' }],
    ['a digest that is too short', 400, 'FIELD_INVALID', { 'repr-digest': 'sha-256=:AAAA:' }],
    ['a digest that is not checked', 400, 'FIELD_INVALID', { 'repr-digest': 'md5=:AAAA:' }],
    [
      'two digests',
      400,
      'FIELD_INVALID',
      {
        'repr-digest': digestOf('sha256', bytes),
        'content-digest': digestOf('sha256', Buffer.alloc(1)),
      },
    ],
    ['another content type', 415, 'UNSUPPORTED', { 'content-type': 'application/json' }],
    ['an encoding', 415, 'UNSUPPORTED', { 'content-encoding': 'gzip' }],
    ['a store that is not there', 400, 'FIELD_INVALID', { 'x-image-meta-store': 'ceph' }],
  ])('%s', async (_, status, reason, headers) => {
    const { imageId, taskId, path } = await newImage();
    expect(await put(service(), path, bytes, headers)).toMatchObject({ status, reason });
    await expectQueued(imageId);
    expect(await taskOf(taskId)).toMatchObject({ state: TaskState.PENDING, faultCount: 0 });
    // Mended, it is taken.
    expect(await put(service(), path, bytes)).toMatchObject({ status: 204 });
  });

  test('an image that is not there', async () => {
    for (const id of [randomUUID(), 'none']) {
      const answer = await put(service(), `/v2/images/${id}/file`, bytes);
      expect(answer).toMatchObject({ status: 404, reason: 'IMAGE_NOT_FOUND' });
    }
  });

  test('an image that is deleted', async () => {
    const { imageId, path } = await newImage();
    await service().images.deleteImage({ imageId });
    expect(await put(service(), path, bytes)).toMatchObject({ status: 404 });
  });
});

describe('what becomes of wrong bytes', () => {
  test('another digest ends the attempt, and the next one begins anew', async () => {
    const { imageId, path } = await newImage();
    const wrong = { 'repr-digest': digestOf('sha256', Buffer.alloc(1)) };
    expect(await put(service(), path, bytes, wrong)).toMatchObject({
      status: 400,
      reason: 'DIGEST_MISMATCH',
    });
    expect(await imageState(service(), imageId)).toMatchObject({
      state: ImageState.QUEUED,
      outlook: ImageOutlook.NOT_COMING,
      lastFault: { reason: 'DIGEST_MISMATCH' },
    });
    const other = randomBytes(1000);
    expect(await putChunked(service(), path, other)).toMatchObject({ status: 204 });
    await expectBytes(service(), imageId, other);
  });

  test('another format is refused with its reason', async () => {
    const { image } = await service().images.createImage({
      image: { name: 'disk', diskFormat: 2 },
      source: { case: 'upload', value: {} },
    });
    const path = `/v2/images/${image?.id}/file`;
    expect(await put(service(), path, bytes)).toMatchObject({
      status: 415,
      reason: 'FORMAT_MISMATCH',
    });
  });
});

describe('an upload that breaks off', () => {
  test('tells its sender where to go on, who goes on', async () => {
    const { imageId, taskId, path, task } = await brokenOff();
    const where = await ask(service(), 'HEAD', path);
    expect(where).toMatchObject({
      status: 204,
      headers: {
        'upload-offset': String(MiB),
        'upload-complete': '?0',
        link: `<${task}>; rel="monitor"`,
      },
    });
    expect((await ask(service(), 'GET', path)).headers['upload-offset']).toBe(String(MiB));
    expect(await taskOf(taskId)).toMatchObject({ state: TaskState.RUNNING, faultCount: 1 });
    const last = bytes.length - 1;
    const rest = { 'content-range': `bytes ${MiB}-${last}/${bytes.length}` };
    const answer = await put(service(), path, bytes.subarray(MiB), rest);
    expect(answer).toMatchObject({
      status: 204,
      headers: { 'upload-offset': String(bytes.length), 'upload-complete': '?1' },
    });
    await expectBytes(service(), imageId, bytes);
  });

  test('is not gone on with anywhere else', async () => {
    const { imageId, path } = await brokenOff();
    const answer = await put(service(), path, bytes.subarray(MiB + 1), {
      'content-range': `bytes ${MiB + 1}-${bytes.length - 1}/${bytes.length}`,
    });
    expect(answer).toMatchObject({
      status: 409,
      reason: 'OFFSET_MISMATCH',
      headers: { 'upload-offset': String(MiB) },
    });
    await expectQueued(imageId);
  });

  test('comes in parts, the last of which says that they are all', async () => {
    const { imageId, path } = await newImage();
    const size = 1_000_000;
    for (let first = 0; first < bytes.length; first += size) {
      const part = bytes.subarray(first, first + size);
      const range = { 'content-range': `bytes ${first}-${first + part.length - 1}/*` };
      expect(await putChunked(service(), path, part, range)).toMatchObject({
        status: 202,
        headers: { 'upload-offset': String(first + part.length), 'upload-complete': '?0' },
      });
    }
    await expectQueued(imageId);
    const all = { 'content-range': `bytes */${bytes.length}` };
    expect(await put(service(), path, Buffer.alloc(0), all)).toMatchObject({ status: 204 });
    await expectBytes(service(), imageId, bytes);
  });

  test('is not ended by who sends on from the middle without saying so', async () => {
    const { imageId, path } = await brokenOff();
    for (const rest of [bytes.subarray(MiB), Buffer.alloc(0)]) {
      expect(await putChunked(service(), path, rest)).toMatchObject({
        status: 409,
        reason: 'SIZE_UNSTATED',
      });
    }
    await expectQueued(imageId);
    expect(
      await putChunked(service(), path, bytes, { 'x-openstack-image-size': bytes.length }),
    ).toMatchObject({ status: 204 });
    await expectBytes(service(), imageId, bytes);
  });

  test('is not ended by a body that is shorter than the first one said', async () => {
    const { imageId, path } = await brokenOff(bytes.subarray(0, MiB), {
      'content-length': bytes.length,
    });
    expect(await put(service(), path, bytes.subarray(MiB))).toMatchObject({
      status: 409,
      reason: 'STATEMENT_MISMATCH',
    });
    expect(await putChunked(service(), path, bytes.subarray(0, 2 * MiB))).toMatchObject({
      status: 409,
      reason: 'STATEMENT_MISMATCH',
      headers: { 'upload-offset': String(2 * MiB) },
    });
    await expectQueued(imageId);
    expect(await putChunked(service(), path, bytes)).toMatchObject({ status: 204 });
    await expectBytes(service(), imageId, bytes);
  });

  test('is compared with what comes again', async () => {
    const { imageId, path } = await brokenOff();
    const other = Buffer.from(bytes);
    other[MiB - 1] = other[MiB - 1]! ^ 1;
    expect(await put(service(), path, other)).toMatchObject({
      status: 409,
      reason: 'REPLAY_MISMATCH',
    });
    await expectQueued(imageId);
  });

  test.each(['reset', 'cancel'] as const)(
    'over HTTP/2 by %s, is not taken for whole',
    async (how) => {
      const { imageId, taskId, path } = await newImage();
      await putHttp2(service(), path, bytes, {}, how);
      await expect
        .poll(async () => (await taskOf(taskId))?.lastFault?.reason, { timeout: 20_000 })
        .toBe('CONNECTION_LOST');
      await expectQueued(imageId);
    },
  );

  test('whose sender falls silent is told so, and can go on', async () => {
    const { imageId, path } = await newImage();
    const held = holdPut(service(), path);
    await held.send(bytes.subarray(0, MiB));
    expect(await held.answer).toMatchObject({
      status: 408,
      reason: 'STREAM_IDLE',
      headers: { 'upload-offset': String(MiB) },
    });
    const rest = { 'content-range': `bytes ${MiB}-${bytes.length - 1}/${bytes.length}` };
    expect(await put(service(), path, bytes.subarray(MiB), rest)).toMatchObject({ status: 204 });
    await expectBytes(service(), imageId, bytes);
  });
});

describe('an image that is ACTIVE', () => {
  test('is told so to who sends it again, whose answer was lost', async () => {
    const { path, task } = await newImage();
    await put(service(), path, bytes);
    for (const send of [put, putChunked]) {
      const again = await send(service(), path, bytes);
      expect(again).toMatchObject({ status: 204, headers: { link: `<${task}>; rel="monitor"` } });
    }
    // Who had read its source to the end sends what is left of it.
    expect(await putChunked(service(), path, Buffer.alloc(0))).toMatchObject({ status: 204 });
  });

  test.each([
    ['other bytes', randomBytes(bytes.length)],
    ['fewer', bytes.subarray(0, MiB)],
    ['more', Buffer.concat([bytes, bytes])],
    ['none', Buffer.alloc(0)],
  ])('takes no %s', async (_, other) => {
    const { imageId, path } = await newImage();
    await put(service(), path, bytes);
    expect(await put(service(), path, other)).toMatchObject({ status: 409 });
    await expectBytes(service(), imageId, bytes);
  });
});

test('of two at the same time one is taken', async () => {
  const { imageId, path } = await newImage();
  const first = holdPut(service(), path);
  await first.send(bytes.subarray(0, MiB));
  await untilStored(service(), path, MiB);
  expect(await put(service(), path, randomBytes(10))).toMatchObject({
    status: 409,
    reason: 'WRITER_ACTIVE',
  });
  await first.send(bytes.subarray(MiB));
  first.end();
  expect(await first.answer).toMatchObject({ status: 204 });
  await expectBytes(service(), imageId, bytes);
});

test('who goes on with a range takes the upload over from who had it', async () => {
  const { imageId, path } = await newImage();
  const first = holdPut(service(), path);
  await first.send(bytes.subarray(0, MiB));
  await untilStored(service(), path, MiB);
  const rest = { 'content-range': `bytes ${MiB}-${bytes.length - 1}/${bytes.length}` };
  expect(await put(service(), path, bytes.subarray(MiB), rest)).toMatchObject({ status: 204 });
  expect(await first.answer).toMatchObject({ status: 409, reason: 'WRITER_FENCED' });
  await expectBytes(service(), imageId, bytes);
});

test('an image that is deleted while it is uploaded is gone', async () => {
  const { imageId, path } = await newImage();
  const held = holdPut(service(), path);
  await held.send(bytes.subarray(0, MiB));
  await untilStored(service(), path, MiB);
  await service().images.deleteImage({ imageId });
  expect(await held.answer).toMatchObject({ status: 410, reason: 'IMAGE_DELETED' });
  expect(await ask(service(), 'HEAD', path)).toMatchObject({ status: 404 });
});
