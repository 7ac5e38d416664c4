import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { useDatabase } from '../support/test-database.ts';
import { download, readFaults, readImage, readTask } from '../support/upload-world.ts';
import { ended, openImportWorld } from './import-world.ts';
import { serves, servesInPieces, startSource, type SourceHandler } from './source-server.ts';

const database = useDatabase();
const bytes = randomBytes(1_500_000);

const page: SourceHandler = (_, response) =>
  response
    .writeHead(200, { 'content-type': 'text/html' })
    .end('<!doctype html><title>Sign in to the network</title>');

describe('a page or an error that comes with status 200', () => {
  async function importPage(body: string | Buffer, headers: Record<string, string>, stated = {}) {
    const world = await openImportWorld(database());
    const source = await startSource((_, response) => response.writeHead(200, headers).end(body));
    const url = `${source.origin}/disk?signature=verys3cret`;
    const { imageId, taskId } = await world.create({ from: { kind: 'url', url }, ...stated });
    const task = await ended(database(), taskId);
    const faults = await readFaults(database(), taskId);
    return { imageId, task, faults, message: faults[0]?.message ?? '' };
  }

  test.each([
    ['text/html', '<html>login</html>', 'an HTML page'],
    ['text/html; charset=utf-8', '\n<!DOCTYPE html>\n<title>Sign in</title>', 'an HTML page'],
    ['application/json', '{"error":"not found"}', 'a JSON document'],
    ['application/problem+json', '{"title":"gone"}', 'a JSON document'],
    ['application/xml', '<Error><Code>AccessDenied</Code></Error>', 'an XML document'],
  ])('as %s is refused at once, and quoted', async (contentType, body, what) => {
    const { imageId, task, faults, message } = await importPage(body, {
      'content-type': contentType,
    });
    expect(task).toMatchObject({ state: 'FAILED', committedSize: 0 });
    expect(await readImage(database(), imageId)).toMatchObject({ state: 'QUEUED' });
    expect(faults).toMatchObject([{ reason: 'SOURCE_NO_IMAGE', fatal: true, code: 9 }]);
    expect(message).toContain(`The source answered 200 with "${contentType}"`);
    expect(message).toContain(what);
    expect(message).toContain(JSON.stringify(body.trim()).slice(0, 40));
  });

  test('is not quoted with what is secret', async () => {
    const { message } = await importPage('<html><a href="?signature=verys3cret">here</a>', {
      'content-type': 'text/html',
    });
    expect(message).toContain('<html><a href=');
    expect(message).not.toContain('s3cret');
  });

  test('is told as what it is, and not by its length', async () => {
    const { faults } = await importPage(
      '<html>login</html>',
      { 'content-type': 'text/html' },
      {
        totalSize: bytes.length,
      },
    );
    expect(faults).toMatchObject([{ reason: 'SOURCE_NO_IMAGE' }]);
  });

  test('in place of the rest leaves the bytes that are there to RetryTask', async () => {
    let isCalm = false;
    const world = await openImportWorld(database());
    const source = await startSource((request, response, number) => {
      const good = isCalm || number === 1;
      (good ? servesInPieces(bytes, [800_000]) : page)(request, response, number);
    });
    const { imageId, taskId } = await world.create(source.origin);
    expect(await ended(database(), taskId)).toMatchObject({ state: 'FAILED' });
    expect(await readFaults(database(), taskId)).toMatchObject([
      { reason: 'SOURCE_CUT_SHORT' },
      { reason: 'SOURCE_NO_IMAGE', fatal: true },
    ]);
    isCalm = true;
    const next = await ended(database(), await world.retry(taskId));
    expect(next.state).toBe('SUCCEEDED');
    expect(source.requests.at(-1)?.headers.range).toBe('bytes=800000-');
    expect((await download(world, imageId)).equals(bytes)).toBe(true);
  });

  test.each([
    ['a disk that is called a page', bytes],
    ['a little disk that is called a page', bytes.subarray(0, 100)],
  ])('is not %s', async (_, disk) => {
    const { task } = await importPage(disk, { 'content-type': 'text/html' });
    expect(task.state).toBe('SUCCEEDED');
  });

  test('that never begins is given up', async () => {
    const world = await openImportWorld(database(), {
      env: { DARKROOM_IMPORT_RESPONSE_TIMEOUT_MS: '100', DARKROOM_IMPORT_MAX_TRIES: '1' },
    });
    const source = await startSource((_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).flushHeaders();
    });
    const { taskId } = await world.create(source.origin);
    await ended(database(), taskId);
    expect(await readFaults(database(), taskId)).toMatchObject([{ reason: 'SOURCE_STALLED' }]);
    await expect.poll(() => source.connections(), { timeout: 10_000 }).toBe(0);
  });

  test('that never begins does not outlast a cancelled import', async () => {
    const world = await openImportWorld(database());
    const source = await startSource((_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).flushHeaders();
    });
    const { taskId } = await world.create(source.origin);
    await expect.poll(() => source.requests.length, { timeout: 10_000 }).toBe(1);
    await world.cancel(taskId);
    await expect.poll(() => source.connections(), { timeout: 10_000 }).toBe(0);
    expect((await readTask(database(), taskId)).state).toBe('CANCELLED');
  });
});

test('a page behind a redirect is tried again from the first address', async () => {
  const mirrors = [page, serves(bytes)];
  const world = await openImportWorld(database());
  const source = await startSource((request, response, number) => {
    if (request.url === '/disk') {
      response.writeHead(302, { location: '/mirror' }).end();
    } else {
      mirrors[number / 2 - 1]?.(request, response, number);
    }
  });
  const { imageId, taskId } = await world.create(`${source.origin}/disk`);
  expect((await ended(database(), taskId)).state).toBe('SUCCEEDED');
  expect(await readFaults(database(), taskId)).toMatchObject([
    { reason: 'SOURCE_NO_IMAGE', fatal: false },
  ]);
  expect((await download(world, imageId)).equals(bytes)).toBe(true);
});
