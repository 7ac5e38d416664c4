import { createHash, randomBytes } from 'node:crypto';
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { ImageId } from '../../src/records/ids.ts';
import { ImportOrder } from '../../src/records/import-order.ts';
import { useDatabase } from '../support/test-database.ts';
import { download, readFaults, readImage, readTask } from '../support/upload-world.ts';
import { FaultyStore } from '../uploads/faulty-store.ts';
import { ended, openImportWorld } from './import-world.ts';
import { serves, servesInPieces, startSource } from './source-server.ts';

const database = useDatabase();
const bytes = randomBytes(3_000_000);
const digest = (algorithm: string): string => createHash(algorithm).update(bytes).digest('hex');

describe('an import of a url', () => {
  test('brings the image, and its task says from where and how far', async () => {
    const world = await openImportWorld(database());
    const source = await startSource(serves(bytes));
    const { imageId, taskId } = await world.create(`${source.origin}/images/debian.raw`);
    const task = await ended(database(), taskId);
    expect(task).toMatchObject({
      type: 'IMPORT',
      state: 'SUCCEEDED',
      source: `${source.origin}/images/debian.raw`,
      committedSize: bytes.length,
      faultCount: 0,
    });
    expect(await readImage(database(), imageId)).toMatchObject({
      state: 'ACTIVE',
      outlook: 'AVAILABLE',
      sizeBytes: bytes.length,
      virtualSizeBytes: bytes.length,
      sha256: digest('sha256'),
    });
    expect((await download(world, imageId)).equals(bytes)).toBe(true);
    const { rows } = await database().pool.query<{ phase: string }>(
      'select phase from task_events where task_id = $1 order by revision',
      [taskId],
    );
    expect(rows[0]?.phase).toBe('WAITING_FOR_DATA');
    expect(rows[1]?.phase).toBe('FETCHING');
  });

  test('takes what agrees with the size and the digests that were stated', async () => {
    const world = await openImportWorld(database());
    const source = await startSource(serves(bytes));
    const { taskId } = await world.create({
      from: { kind: 'url', url: source.origin },
      totalSize: bytes.length,
      sha256: digest('sha256').toUpperCase(),
      sha512: digest('sha512').toUpperCase(),
      maxSizeBytes: bytes.length,
    });
    expect((await ended(database(), taskId)).state).toBe('SUCCEEDED');
  });

  test('takes a body in chunks of which nobody said the length', async () => {
    const world = await openImportWorld(database());
    const source = await startSource((_, response) => {
      response.write(bytes.subarray(0, 1_500_000));
      response.end(bytes.subarray(1_500_000));
    });
    const { imageId, taskId } = await world.create(source.origin);
    expect((await ended(database(), taskId)).state).toBe('SUCCEEDED');
    expect((await download(world, imageId)).equals(bytes)).toBe(true);
  });

  test.each([
    ['gzip', gzipSync(bytes)],
    ['x-gzip', gzipSync(bytes)],
    ['deflate', deflateSync(bytes)],
    ['br', brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })],
    ['zstd', zstdCompressSync(bytes)],
    // Of several parts, each of which is whole by itself.
    ['gzip', Buffer.concat([gzipSync(bytes.subarray(0, 5000)), gzipSync(bytes.subarray(5000))])],
    [
      'zstd',
      Buffer.concat([
        zstdCompressSync(bytes.subarray(0, 5000)),
        zstdCompressSync(bytes.subarray(5000)),
      ]),
    ],
  ])('undoes the %s of a transfer that nobody asked for', async (encoding, encoded) => {
    const world = await openImportWorld(database());
    const source = await startSource((_, response) => {
      response.writeHead(200, { 'content-encoding': encoding, 'content-length': encoded.length });
      response.end(encoded);
    });
    const { imageId, taskId } = await world.create(source.origin);
    expect((await ended(database(), taskId)).state).toBe('SUCCEEDED');
    expect((await download(world, imageId)).equals(bytes)).toBe(true);
    expect(source.requests[0]?.headers['accept-encoding']).toBe('identity');
  });

  test('follows redirects', async () => {
    const world = await openImportWorld(database());
    const source = await startSource((request, response, number) => {
      const next = { '/a': '/b', '/b': `//127.0.0.1:${source.port}/c?x=1`, '/c?x=1': undefined };
      const location = next[request.url as keyof typeof next];
      if (location === undefined) {
        serves(bytes)(request, response, number);
      } else {
        response.writeHead(302, { location }).end();
      }
    });
    const { taskId } = await world.create(`${source.origin}/a`);
    expect((await ended(database(), taskId)).state).toBe('SUCCEEDED');
    expect(source.requests.map(({ url }) => url)).toEqual(['/a', '/b', '/c?x=1']);
  });
});

describe('a source that breaks', () => {
  test('is gone on with where it was, by its ETag, and no byte is fetched twice', async () => {
    const world = await openImportWorld(database());
    const source = await startSource(servesInPieces(bytes, [1_200_000, 900_000]));
    const { imageId, taskId } = await world.create(source.origin);
    expect(await ended(database(), taskId)).toMatchObject({ state: 'SUCCEEDED', faultCount: 2 });
    expect((await download(world, imageId)).equals(bytes)).toBe(true);
    expect(source.requests.map(({ headers }) => headers.range)).toEqual([
      undefined,
      'bytes=1200000-',
      'bytes=2100000-',
    ]);
    expect(source.requests[1]?.headers['if-range']).toBe('"one"');
    const [first] = await readFaults(database(), taskId);
    expect(first).toMatchObject({
      reason: 'SOURCE_CUT_SHORT',
      fatal: false,
      offset: 1_200_000,
      phase: 'FETCHING',
    });
    expect(first?.message).toMatch(/Try 2 of 3 comes in/);
  });

  test('is gone on with by an old Last-Modified', async () => {
    const world = await openImportWorld(database());
    const modified = 'Wed, 01 Oct 2025 07:28:00 GMT';
    const source = await startSource((request, response, number) => {
      response.setHeader('last-modified', modified);
      if (number === 1) {
        servesInPieces(bytes, [1_000_000], null)(request, response, number);
      } else {
        expect(request.headers['if-range']).toBe(modified);
        response.writeHead(206, {
          'content-length': bytes.length - 1_000_000,
          'content-range': `bytes 1000000-${bytes.length - 1}/${bytes.length}`,
        });
        response.end(bytes.subarray(1_000_000));
      }
    });
    const { imageId, taskId } = await world.create(source.origin);
    expect((await ended(database(), taskId)).state).toBe('SUCCEEDED');
    expect((await download(world, imageId)).equals(bytes)).toBe(true);
  });

  test('that has no ranges is read again from its beginning, compared, and that is said', async () => {
    const world = await openImportWorld(database());
    const going = Promise.withResolvers<void>();
    const source = await startSource((request, response, number) => {
      delete request.headers.range;
      if (number === 1) {
        servesInPieces(bytes, [1_000_000], null)(request, response, number);
      } else {
        response.writeHead(200, { 'content-length': bytes.length });
        response.flushHeaders();
        void going.promise.then(() => response.end(bytes));
      }
    });
    const { imageId, taskId } = await world.create(source.origin);
    await expect
      .poll(async () => (await readTask(database(), taskId)).message)
      .toMatch(/^Reading .* again from its beginning.*1000000 bytes are compared$/);
    going.resolve();
    expect(await ended(database(), taskId)).toMatchObject({
      state: 'SUCCEEDED',
      message: `Fetched from ${source.origin}/`,
    });
    expect((await download(world, imageId)).equals(bytes)).toBe(true);
  });

  test('after its last byte is not asked again', async () => {
    const store = new FaultyStore();
    const world = await openImportWorld(database(), { wrapStore: store.wrap });
    const source = await startSource(serves(bytes));
    store.break('complete', 'EIO');
    const { taskId } = await world.create(source.origin);
    await expect
      .poll(async () => (await readTask(database(), taskId)).faultCount, { timeout: 10_000 })
      .toBeGreaterThanOrEqual(1);
    store.mend();
    expect((await ended(database(), taskId)).state).toBe('SUCCEEDED');
    expect(source.requests).toHaveLength(1);
  });
});

describe('a copy of an image', () => {
  test('has its bytes, its size and its digest', async () => {
    const world = await openImportWorld(database());
    const source = await startSource(serves(bytes));
    const original = await world.create(source.origin);
    await ended(database(), original.taskId);
    const copy = await world.create({ from: { kind: 'image', imageId: original.imageId } });
    expect(await ended(database(), copy.taskId)).toMatchObject({
      state: 'SUCCEEDED',
      source: `image ${original.imageId}`,
      expectedSize: bytes.length,
      expectedSha256: digest('sha256'),
    });
    expect((await download(world, copy.imageId)).equals(bytes)).toBe(true);
  });

  test('of an image that is not there, not ready, or of another project is refused at once', async () => {
    const world = await openImportWorld(database(), { isStarted: false });
    const source = await startSource(serves(bytes));
    const queued = await world.create(source.origin);
    const copy = { from: { kind: 'image', imageId: queued.imageId } } as const;
    await expect(world.create(copy)).rejects.toMatchObject({ reason: 'IMAGE_STATE_INVALID' });
    const stranger = { projectId: 'another', userId: 'eve', role: 'member' } as const;
    await expect(world.create(copy, { caller: stranger })).rejects.toMatchObject({
      reason: 'IMAGE_NOT_FOUND',
    });
  });

  test('fails if the image is deleted before its bytes were read', async () => {
    const world = await openImportWorld(database(), { env: { DARKROOM_MAX_IMPORTS: '1' } });
    const source = await startSource(serves(bytes));
    const original = await world.create(source.origin);
    await ended(database(), original.taskId);
    world.imports.claimNoMore();
    const copy = await world.create({ from: { kind: 'image', imageId: original.imageId } });
    await world.images.deleteImage(
      { projectId: 'default', userId: 'ann', role: 'member' },
      { imageId: original.imageId, etag: '' },
    );
    await openImportWorld(database(), { folder: world.folder });
    expect((await ended(database(), copy.taskId)).state).toBe('FAILED');
    expect(await readFaults(database(), copy.taskId)).toMatchObject([
      { reason: 'SOURCE_IMAGE_GONE', fatal: true },
    ]);
  });
});

describe('a copy of another project’s image', () => {
  const stranger = { projectId: 'another', userId: 'eve', role: 'member' } as const;

  async function published(visibility: string) {
    const world = await openImportWorld(database(), { env: { DARKROOM_MAX_IMPORTS: '1' } });
    const source = await startSource(serves(bytes));
    const { imageId, taskId } = await world.create(source.origin);
    await ended(database(), taskId);
    await show(imageId, visibility);
    const copy = { from: { kind: 'image', imageId } } as const;
    return { world, imageId, copy };
  }

  async function show(imageId: ImageId, visibility: string): Promise<void> {
    await database().pool.query('update images set visibility = $2 where id = $1', [
      imageId,
      visibility,
    ]);
  }

  test('that it may see has its bytes, and is its own', async () => {
    const { world, copy } = await published('COMMUNITY');
    const { imageId, taskId } = await world.create(copy, { caller: stranger });
    expect(await ended(database(), taskId)).toMatchObject({
      state: 'SUCCEEDED',
      projectId: 'another',
    });
    expect(await readImage(database(), imageId)).toMatchObject({
      projectId: 'another',
      sha256: digest('sha256'),
    });
  });

  test('fails if it may not see that any more when its bytes are to be read', async () => {
    const { world, copy, imageId } = await published('PUBLIC');
    world.imports.claimNoMore();
    const { taskId } = await world.create(copy, { caller: stranger });
    await show(imageId, 'PRIVATE');
    await openImportWorld(database(), { folder: world.folder });
    expect((await ended(database(), taskId)).state).toBe('FAILED');
    expect(await readFaults(database(), taskId)).toMatchObject([
      { reason: 'SOURCE_IMAGE_GONE', fatal: true },
    ]);
  });
});

describe('what is secret', () => {
  const secret = 'Bearer t0p-s3cret';

  test('goes to the source, and to no other origin', async () => {
    const world = await openImportWorld(database());
    const other = await startSource(serves(bytes));
    const source = await startSource((_, response) => {
      response.writeHead(307, { location: `${other.origin}/image` }).end();
    });
    const { taskId } = await world.create({
      from: { kind: 'url', url: `${source.origin}/?signature=s3cret` },
      headers: { authorization: secret },
    });
    expect((await ended(database(), taskId)).state).toBe('SUCCEEDED');
    expect(source.requests[0]?.headers.authorization).toBe(secret);
    expect(source.requests[0]?.url).toBe('/?signature=s3cret');
    expect(other.requests[0]?.headers.authorization).toBeUndefined();
  });

  test('is in no task, event, fault or log, and is forgotten with the end of the import', async () => {
    const world = await openImportWorld(database());
    const source = await startSource((_, response, number) => {
      response.writeHead(number === 1 ? 503 : 404, 'No s3cret here').end();
    });
    const { imageId, taskId } = await world.create({
      from: { kind: 'url', url: `${source.origin}/x?signature=s3cret` },
      headers: { authorization: secret },
    });
    await ended(database(), taskId);
    const { rows } = await database().pool.query<{ line: string }>(
      `select row_to_json(tasks)::text as line from tasks where id = $1
       union all select row_to_json(task_events)::text from task_events where task_id = $1
       union all select row_to_json(faults)::text from faults where task_id = $1`,
      [taskId],
    );
    const told = [...rows.map(({ line }) => line), ...world.log].join('\n');
    expect(told).toContain('SOURCE_HTTP_STATUS');
    expect(told).not.toMatch(/t0p-s3cret|signature/);
    // A failed one can still be tried again.
    const orders = () => database().fork().count(ImportOrder, { imageId });
    expect(await orders()).toBe(1);
    await world.images.deleteImage(
      { projectId: 'default', userId: 'ann', role: 'member' },
      { imageId, etag: '' },
    );
    expect(await orders()).toBe(0);
  });
});
