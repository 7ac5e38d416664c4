import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import * as http from 'node:http';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { bindFolder, canMount, mountDisk, unmount } from '../chaos/limited-disk.ts';
import { makeUpload } from '../server/rest/fixtures.ts';
import { residentBytes } from '../server/rest/file-fixtures.ts';
import {
  ask,
  expectBytes,
  holdPut,
  imageState,
  put,
  putChunked,
  untilStored,
} from '../server/rest/put-fixtures.ts';
import { patience } from '../support/held-upload.ts';
import { connectTo, startService, type RunningService } from '../support/running-service.ts';
import { makeDataDir, startServiceProcess } from '../support/service-process.ts';
import { createTestDatabase } from '../support/test-database.ts';

// Services that start and stop again, on however busy a machine.
vi.setConfig({ testTimeout: 240_000 });

const MiB = 1024 * 1024;
const bytes = randomBytes(5 * MiB + 4321);

async function newImage(service: RunningService) {
  const { imageId, taskId } = await makeUpload(service);
  return { imageId, taskId, path: `/v2/images/${imageId}/file` };
}

/** Puts what is missing where the service says, to the end. */
async function goOn(service: RunningService, path: string): Promise<number> {
  const offset = Number((await ask(service, 'HEAD', path)).headers['upload-offset']);
  const range = { 'content-range': `bytes ${offset}-${bytes.length - 1}/${bytes.length}` };
  expect(await put(service, path, bytes.subarray(offset), range)).toMatchObject({ status: 204 });
  return offset;
}

describe('a PUT whose service is killed', () => {
  test.each([
    ['in chunks', {}],
    ['by its length', { 'content-length': bytes.length }],
  ])('%s keeps what was acknowledged, and goes on there', async (_, headers) => {
    const service = await startService();
    const { imageId, path } = await newImage(service);
    const held = holdPut(service, path, headers);
    await held.send(bytes.subarray(0, 3 * MiB));
    await untilStored(service, path, 3 * MiB);
    await service.process.kill('SIGKILL');
    await expect(held.answer).rejects.toThrow();

    const next = await service.another();
    expect(await imageState(next, imageId)).toMatchObject({ state: Image_State.QUEUED });
    // Who had it in one reading sends the rest, as if nothing had been before.
    const rest = bytes.subarray(3 * MiB);
    expect(await putChunked(next, path, rest)).toMatchObject({ status: 409 });
    expect(await put(next, path, rest)).toMatchObject({ status: 409 });
    expect(await goOn(next, path)).toBe(3 * MiB);
    await expectBytes(next, imageId, bytes);
  });
});

describe('a service that is asked to stop', () => {
  test('lets a PUT end, and takes one that comes on a connection that is open', async () => {
    const service = await startService({ DARKROOM_DRAIN_TIMEOUT_MS: '60000' });
    const [first, second] = [await newImage(service), await newImage(service)];
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const url = service.process.url;
    // The connection is there before.
    const warm = http.request(`${url}/v2/`, { agent }).end();
    const [warmed] = (await once(warm, 'response')) as [http.IncomingMessage];
    await buffer(warmed);
    const held = holdPut(service, first.path);
    await held.send(bytes.subarray(0, 3 * MiB));
    await untilStored(service, first.path, 3 * MiB);
    // It is in the middle of a request when the service begins to stop, and goes on to the next.
    const late = http.request(url + second.path, { method: 'PUT', agent });
    late.setHeader('content-type', 'application/octet-stream');
    late.flushHeaders();
    await new Promise((resolve) => void late.write(bytes.subarray(0, MiB), resolve));
    service.process.signal('SIGTERM');
    await service.process.line(({ msg }) => msg?.startsWith('stopping') === true);
    await held.send(bytes.subarray(3 * MiB));
    held.end();
    expect(await held.answer).toMatchObject({ status: 204 });
    late.end(bytes.subarray(MiB));
    const [answer] = (await once(late, 'response')) as [http.IncomingMessage];
    expect(answer.statusCode).toBe(204);
    answer.resume();
    expect(await service.process.exited).toBe(0);
    const next = await service.another();
    await expectBytes(next, first.imageId, bytes);
    await expectBytes(next, second.imageId, bytes);
  });

  test('cuts off a PUT that goes on for longer, which goes on on its successor', async () => {
    const service = await startService({ DARKROOM_DRAIN_TIMEOUT_MS: '300' });
    const { imageId, path } = await newImage(service);
    const held = holdPut(service, path);
    await held.send(bytes.subarray(0, 2 * MiB));
    await untilStored(service, path, 2 * MiB);
    service.process.signal('SIGTERM');
    expect(await held.answer).toMatchObject({
      status: 503,
      reason: 'SERVER_DRAINING',
      headers: { 'upload-offset': String(2 * MiB), 'retry-after': '1' },
    });
    await service.process.exited;
    const next = await service.another();
    expect(await putChunked(next, path, bytes.subarray(2 * MiB))).toMatchObject({
      status: 409,
      reason: 'SIZE_UNSTATED',
    });
    expect(await goOn(next, path)).toBe(2 * MiB);
    await expectBytes(next, imageId, bytes);
  });
});

describe.skipIf(!canMount())('a store', () => {
  async function startOn(mount: (blobs: string) => void): Promise<RunningService> {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const dataDir = await makeDataDir();
    const blobs = join(dataDir.path, 'blobs');
    onTestFinished(async () => {
      unmount(blobs);
      await dataDir.remove();
    });
    mount(blobs);
    const process = await startServiceProcess({ dataDir: dataDir.path, databaseUrl: database.url });
    onTestFinished(async () => void (await process.kill('SIGKILL')));
    const place = { dataDir: dataDir.path, databaseUrl: database.url };
    return { ...place, process, ...connectTo(process.url), another: () => Promise.reject() };
  }

  test('that is full refuses what does not fit, keeps the rest, and goes on when there is room', async () => {
    const service = await startOn((blobs) => mountDisk(blobs, 8));
    const full = await newImage(service);
    expect(await put(service, full.path, randomBytes(4 * MiB))).toMatchObject({ status: 204 });
    const { imageId, path } = await newImage(service);
    const refused = await put(service, path, bytes);
    expect(refused).toMatchObject({ status: 413, reason: 'STORAGE_FULL' });
    const kept = Number(refused.headers['upload-offset']);
    expect(kept).toBeGreaterThan(2 * MiB);
    expect(await imageState(service, imageId)).toMatchObject({ state: Image_State.QUEUED });
    await service.images.deleteImage({ imageId: full.imageId });
    await expect
      .poll(async () => (await put(service, path, bytes)).status, { ...patience, interval: 200 })
      .toBe(204);
    await expectBytes(service, imageId, bytes);
  });

  test('that is away is told of, and nothing is lost', async () => {
    const real = await makeDataDir();
    onTestFinished(() => real.remove());
    const service = await startOn((blobs) => bindFolder(real.path, blobs));
    const { imageId, path } = await newImage(service);
    const held = holdPut(service, path);
    await held.send(bytes.subarray(0, 2 * MiB));
    await untilStored(service, path, 2 * MiB);
    const blobs = join(service.dataDir, 'blobs');
    expect(unmount(blobs)).toBe(true);
    await held.send(bytes.subarray(2 * MiB, 3 * MiB));
    expect(await held.answer).toMatchObject({ status: 503, reason: 'STORAGE_UNAVAILABLE' });
    bindFolder(real.path, blobs);
    expect(await goOn(service, path)).toBe(2 * MiB);
    await expectBytes(service, imageId, bytes);
  });
});

test('a large image passes through little memory', async () => {
  const service = await startService();
  const { imageId, path } = await newImage(service);
  const piece = randomBytes(MiB);
  await put(service, (await newImage(service)).path, Buffer.concat([piece, piece, piece, piece]));
  const before = await residentBytes(service);
  const held = holdPut(service, path);
  let most = 0;
  for (let i = 0; i < 256; i += 1) {
    await held.send(piece);
    if (i % 32 === 0) {
      most = Math.max(most, await residentBytes(service));
    }
  }
  held.end();
  expect(await held.answer).toMatchObject({ status: 204 });
  expect(await imageState(service, imageId)).toMatchObject({ sizeBytes: BigInt(256 * MiB) });
  expect(most - before).toBeLessThan(128 * MiB);
});
