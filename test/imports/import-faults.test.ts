import { createHash, randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { findFreePort } from '../support/free-port.ts';
import { useDatabase } from '../support/test-database.ts';
import { readFaults, readImage, readTask } from '../support/upload-world.ts';
import { ended, openImportWorld, type ImportWorldOptions } from './import-world.ts';
import {
  serves,
  servesInPieces,
  startRawSource,
  startSource,
  type SourceHandler,
} from './source-server.ts';

const database = useDatabase();
const bytes = randomBytes(1_500_000);

/** How an import ends: its task, its faults, and what its image is. */
async function outcomeOf(
  url: string,
  options: ImportWorldOptions & { readonly stated?: object } = {},
) {
  const world = await openImportWorld(database(), options);
  const { imageId, taskId } = await world.create({ from: { kind: 'url', url }, ...options.stated });
  const task = await ended(database(), taskId);
  const faults = await readFaults(database(), taskId);
  const image = await readImage(database(), imageId);
  expect(faults.at(-1)?.message ?? '').not.toMatch(/internal error/i);
  return { world, task, faults, image, last: faults.at(-1) };
}

/** An answer of so many bytes by its header, and so many in truth. */
function answers(status: number, headers: Record<string, string | number> = {}): SourceHandler {
  return (_, response) => response.writeHead(status, headers).end('what it says');
}

describe('what may pass is tried again, a bounded number of times, and then it is the fault', () => {
  test('a name that cannot be resolved', async () => {
    const { task, faults } = await outcomeOf('http://no-such-host.invalid/image');
    expect(task).toMatchObject({ state: 'FAILED', faultCount: 3 });
    expect(faults.map(({ reason, fatal }) => [reason, fatal])).toEqual([
      ['SOURCE_NAME_UNRESOLVED', false],
      ['SOURCE_NAME_UNRESOLVED', false],
      ['SOURCE_NAME_UNRESOLVED', true],
    ]);
    expect(faults[2]?.message).toMatch(/no-such-host\.invalid.*the last of 3 tries.*RetryTask/);
  });

  test('a connection that is refused', async () => {
    const port = await findFreePort();
    const { last, faults } = await outcomeOf(`http://127.0.0.1:${port}/`);
    expect(faults).toHaveLength(3);
    expect(last).toMatchObject({ reason: 'SOURCE_UNREACHABLE', fatal: true, retryable: true });
    expect(last?.message).toContain('ECONNREFUSED');
  });

  test('a connection that is not answered in time', async () => {
    // Nobody answers at an address that is kept for documentation (RFC 5737).
    const { last } = await outcomeOf('http://192.0.2.1/', {
      env: {
        DARKROOM_IMPORT_SPECIAL_ADDRESSES: '192.0.2.1',
        DARKROOM_IMPORT_CONNECT_TIMEOUT_MS: '100',
        DARKROOM_IMPORT_MAX_TRIES: '1',
      },
    });
    // Where there is no road at all the machine says so at once.
    expect(['SOURCE_TIMEOUT', 'SOURCE_UNREACHABLE']).toContain(last?.reason);
  });

  test('an answer that does not come in time', async () => {
    const source = await startSource(() => {});
    const { last } = await outcomeOf(source.origin, {
      env: { DARKROOM_IMPORT_RESPONSE_TIMEOUT_MS: '100' },
    });
    expect(last).toMatchObject({ reason: 'SOURCE_TIMEOUT', fatal: true });
    expect(source.requests).toHaveLength(3);
    await expect.poll(() => source.connections()).toBe(0);
  });

  test('a connection that breaks before the answer', async () => {
    const source = await startRawSource((socket) => socket.once('data', () => socket.destroy()));
    const { last } = await outcomeOf(source.origin);
    expect(last).toMatchObject({ reason: 'SOURCE_CONNECTION_LOST', fatal: true });
  });

  test('a connection that breaks in the middle of the TLS handshake', async () => {
    const source = await startRawSource((socket) => socket.once('data', () => socket.destroy()));
    const { last, faults } = await outcomeOf(source.origin.replace('http:', 'https:'));
    expect(faults).toHaveLength(3);
    expect(last).toMatchObject({ reason: 'SOURCE_CONNECTION_LOST', fatal: true });
  });

  test('a body that is cut short, again and again', async () => {
    const source = await startSource(servesInPieces(bytes, [400_000, 300_000, 200_000]));
    const { last, image } = await outcomeOf(source.origin);
    expect(last).toMatchObject({ reason: 'SOURCE_CUT_SHORT', fatal: true, offset: 900_000 });
    expect(image).toMatchObject({ state: 'QUEUED', outlook: 'NOT_COMING', sizeBytes: null });
  });

  test('chunks that end without the last one', async () => {
    const source = await startSource((_, response) => {
      response.write(bytes, () => response.socket?.end());
    });
    const { last } = await outcomeOf(source.origin);
    expect(last).toMatchObject({ reason: 'SOURCE_CUT_SHORT', fatal: true });
  });

  test('a source that says nothing more', async () => {
    const source = await startSource((_, response) => {
      response.writeHead(200, { 'content-length': bytes.length, etag: '"one"' });
      response.write(bytes.subarray(0, 700_000));
    });
    const { last, faults } = await outcomeOf(source.origin, {
      env: { DARKROOM_IMPORT_STALL_TIMEOUT_MS: '150', DARKROOM_IMPORT_MAX_TRIES: '2' },
    });
    expect(faults[0]).toMatchObject({ reason: 'SOURCE_STALLED', fatal: false, offset: 700_000 });
    // The same source then answers a request for the rest as if it were one for the whole.
    expect(last).toMatchObject({ reason: 'SOURCE_STALLED', fatal: true });
    await expect.poll(() => source.connections()).toBe(0);
  });

  test.each([408, 425, 429, 500, 502, 503, 504])('HTTP %i', async (status) => {
    const source = await startSource(answers(status));
    const { last, faults } = await outcomeOf(source.origin);
    expect(faults).toHaveLength(3);
    expect(last).toMatchObject({ reason: 'SOURCE_HTTP_STATUS', code: 14, fatal: true });
    expect(last?.message).toContain(`answered ${status}`);
  });

  test('and waits as long as the source asks', async () => {
    const source = await startSource((request, response, number) =>
      number === 1
        ? answers(503, { 'retry-after': 1 })(request, response, number)
        : serves(bytes)(request, response, number),
    );
    const { task, faults } = await outcomeOf(source.origin);
    expect(task.state).toBe('SUCCEEDED');
    expect(faults[0]?.message).toContain('Try 2 of 3 comes in 1.0 s');
    const [fault] = faults;
    expect(task.finishTime!.getTime() - fault!.createTime.getTime()).toBeGreaterThan(950);
  });
});

describe('what will not pass fails at once, and says why', () => {
  test.each([400, 401, 403, 404, 410, 418, 501, 204, 206, 304])('HTTP %i', async (status) => {
    const source = await startSource(answers(status));
    const { last, faults } = await outcomeOf(source.origin);
    expect(faults).toHaveLength(1);
    expect(last).toMatchObject({ reason: 'SOURCE_HTTP_STATUS', code: 9, fatal: true });
    expect(last?.message).toContain(`answered ${status}`);
  });

  test('a name that stands for an address that may not be reached', async () => {
    const source = await startSource(serves(bytes));
    const { last, faults } = await outcomeOf(`http://localhost:${source.port}/`, {
      env: { DARKROOM_IMPORT_SPECIAL_ADDRESSES: '10.0.0.0/8' },
    });
    expect(faults).toHaveLength(1);
    expect(last).toMatchObject({ reason: 'SOURCE_FORBIDDEN', fatal: true });
    expect(source.requests).toEqual([]);
  });

  test('a certificate that nobody vouches for', async () => {
    const source = await startSource(serves(bytes), { secure: true });
    const { last, faults } = await outcomeOf(source.origin);
    expect(faults).toHaveLength(1);
    expect(last).toMatchObject({ reason: 'SOURCE_TLS_FAILED', fatal: true });
    expect(last?.message).toMatch(/DEPTH_ZERO_SELF_SIGNED_CERT/);
    expect(source.requests).toHaveLength(0);
  });

  test('https where only http is spoken', async () => {
    const source = await startSource(serves(bytes));
    const { last } = await outcomeOf(source.origin.replace('http:', 'https:'));
    expect(last).toMatchObject({ reason: 'SOURCE_TLS_FAILED', fatal: true });
  });

  test.each([
    ['without end', (port: number) => `http://127.0.0.1:${port}/again`, 'SOURCE_REDIRECT_REFUSED'],
    ['to nowhere', () => undefined, 'SOURCE_REDIRECT_REFUSED'],
    ['to what is no address', () => 'http://[', 'SOURCE_REDIRECT_REFUSED'],
    ['to a password', () => 'http://ann:secret@example.com/', 'SOURCE_REDIRECT_REFUSED'],
    ['to the metadata', () => 'http://169.254.169.254/latest/meta-data', 'SOURCE_FORBIDDEN'],
    ['to it in disguise', () => 'http://0xA9FEA9FE/', 'SOURCE_FORBIDDEN'],
    ['to a name of this machine', () => 'http://[::1]/', 'SOURCE_FORBIDDEN'],
    ['to a file', () => 'file:///etc/passwd', 'SOURCE_SCHEME_UNSUPPORTED'],
  ])('a redirect %s', async (_, target, reason) => {
    const source = await startSource((_request, response) => {
      const location = target(source.port);
      response.writeHead(302, location === undefined ? {} : { location }).end();
    });
    const { last, faults } = await outcomeOf(source.origin);
    expect(faults).toHaveLength(1);
    expect(last).toMatchObject({ reason, fatal: true });
  });

  test('more than the source says that it has', async () => {
    const source = await startSource(serves(bytes));
    const { last, task } = await outcomeOf(source.origin, { stated: { maxSizeBytes: 1_000_000 } });
    expect(last).toMatchObject({ reason: 'SIZE_EXCEEDED', fatal: true });
    expect(task.committedSize).toBe(0);
  });

  test('more than is taken, from a source that did not say how much it is', async () => {
    const source = await startSource((_, response) => {
      response.write(bytes.subarray(0, 100));
      response.end(bytes.subarray(100));
    });
    const { last } = await outcomeOf(source.origin, { stated: { maxSizeBytes: 1_000_000 } });
    expect(last).toMatchObject({ reason: 'SIZE_EXCEEDED', fatal: true });
  });

  test('a little that expands to more than is taken', async () => {
    const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024), { level: 1 });
    const source = await startSource((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': bomb.length });
      response.end(bomb);
    });
    const { last, task } = await outcomeOf(source.origin, { stated: { maxSizeBytes: 5_000_000 } });
    expect(last).toMatchObject({ reason: 'SIZE_EXCEEDED', fatal: true });
    expect(task.committedSize).toBeLessThanOrEqual(5_000_000);
  });

  test.each([
    ['more', 1_000_000, 'SIZE_EXCEEDED'],
    ['less', 2_000_000, 'SIZE_SHORT'],
  ])('%s than the stated size', async (_, totalSize, reason) => {
    const source = await startSource(serves(bytes));
    const { last, faults } = await outcomeOf(source.origin, { stated: { totalSize } });
    expect(faults).toHaveLength(1);
    expect(last).toMatchObject({ reason, fatal: true });
  });

  test.each(['sha256', 'sha512'])('a %s that is not the stated one', async (algorithm) => {
    const source = await startSource(serves(bytes));
    const stated = { [algorithm]: createHash(algorithm).update('other').digest('hex') };
    const { last, faults } = await outcomeOf(source.origin, { stated });
    expect(faults).toHaveLength(1);
    expect(last).toMatchObject({ reason: 'DIGEST_MISMATCH', fatal: true });
    expect(last?.message).toContain(algorithm);
  });

  test('a body of which nobody can tell where it ends', async () => {
    const source = await startRawSource((socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\nsome bytes'));
    });
    const { last } = await outcomeOf(source.origin);
    expect(last).toMatchObject({ reason: 'SOURCE_PROTOCOL_INVALID', fatal: true });
    expect(last?.message).toContain('total_size');
    const { task } = await outcomeOf(source.origin, { stated: { totalSize: 10 } });
    expect(task.state).toBe('SUCCEEDED');
  });

  test.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['a header without end', `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(100_000)}`],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    [
      'an encoding that nobody knows',
      'HTTP/1.1 200 OK\r\ncontent-encoding: lzh\r\ncontent-length: 1\r\n\r\na',
    ],
    ['chunks of no size', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab'],
    [
      'what is not compressed as it says',
      'HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc',
    ],
  ])('an answer that is %s', async (_, answer) => {
    const source = await startRawSource((socket) => {
      socket.once('data', () => socket.end(answer));
    });
    const { last, faults } = await outcomeOf(source.origin);
    expect(faults).toHaveLength(1);
    expect(last).toMatchObject({ reason: 'SOURCE_PROTOCOL_INVALID', fatal: true });
  });
});

describe('a source that changes while it is read', () => {
  const other = randomBytes(bytes.length);

  test.each<[string, SourceHandler]>([
    [
      'and says so by its ETag',
      (request, response, number) =>
        number === 1
          ? servesInPieces(bytes, [800_000])(request, response, number)
          : serves(other, '"two"')(request, response, number),
    ],
    [
      'in its size',
      (request, response, number) =>
        number === 1
          ? servesInPieces(bytes, [800_000], null)(request, response, number)
          : response.writeHead(200, { 'content-length': 10 }).end('0123456789'),
    ],
    [
      'without a word',
      (request, response, number) =>
        servesInPieces(number === 1 ? bytes : other, [800_000], null)(request, response, number),
    ],
    [
      'and is shorter than what was read',
      (request, response, number) =>
        number === 1
          ? servesInPieces(bytes, [800_000])(request, response, number)
          : response.writeHead(416).end(),
    ],
  ])('%s is not mixed with what it was: RetryTask begins anew', async (_, handler) => {
    let isCalm = false;
    const source = await startSource((request, response, number) =>
      (isCalm ? serves(other, '"two"') : handler)(request, response, number),
    );
    const { world, task, last } = await outcomeOf(source.origin);
    expect(last).toMatchObject({ reason: 'SOURCE_CHANGED', fatal: true });
    isCalm = true;
    const next = await world.retry(task.id);
    expect((await ended(database(), next)).state).toBe('SUCCEEDED');
    expect((await readImage(database(), task.imageId)).sha256).toBe(
      createHash('sha256').update(other).digest('hex'),
    );
    expect((await readTask(database(), next)).attempt).toBe(2);
  });

  test('is not mixed either if it tells its version only when it is a new one', async () => {
    const newer = Buffer.concat([bytes.subarray(0, 400_000), other.subarray(400_000)]);
    const source = await startSource((request, response, number) =>
      number === 1
        ? servesInPieces(bytes, [800_000], null)(request, response, number)
        : // The second time it breaks before it comes to what is new.
          servesInPieces(newer, [0, 300_000], '"two"')(request, response, number),
    );
    const { task, last } = await outcomeOf(source.origin);
    expect(task.state).toBe('FAILED');
    expect(last).toMatchObject({ reason: 'SOURCE_CHANGED', fatal: true });
  });
});
