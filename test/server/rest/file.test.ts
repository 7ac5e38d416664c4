import { randomUUID } from 'node:crypto';
import * as http from 'node:http';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Database } from '../../../src/database/database.ts';
import { makeTask, stranger } from '../../tasks/task-fixtures.ts';
import {
  ask,
  bytesWithHoles,
  storeImage,
  type FileAnswer,
  type StoredImage,
} from './file-fixtures.ts';
import { makeUpload, sharedService } from './fixtures.ts';

const service = sharedService();
let image: StoredImage;
beforeAll(async () => {
  image = await storeImage(service(), bytesWithHoles());
});

function askFor(
  headers: http.OutgoingHttpHeaders = {},
  { path, method = 'GET' }: { path?: string; method?: string } = {},
): Promise<FileAnswer> {
  return ask(service(), path ?? image.path, { headers, method });
}

/** The headers that say what was sent. */
const told = ['content-type', 'content-length', 'content-range', 'accept-ranges', 'etag'] as const;

function toldOf({ headers }: FileAnswer): Record<string, unknown> {
  return Object.fromEntries(
    [...told, 'repr-digest', 'cache-control'].map((name) => [name, headers[name]]),
  );
}

function wholeHeaders(): Record<string, unknown> {
  return {
    'content-type': 'application/octet-stream',
    'content-length': String(image.bytes.length),
    'content-range': undefined,
    'accept-ranges': 'bytes',
    etag: image.etag,
    'repr-digest': `sha-256=:${Buffer.from(image.sha256, 'hex').toString('base64')}:`,
    'cache-control': 'private, no-cache',
  };
}

function expectWhole(answer: FileAnswer, what?: string): void {
  expect([what, answer.status]).toEqual([what, 200]);
  expect(toldOf(answer)).toEqual(wholeHeaders());
  expect(answer.body.equals(image.bytes), what).toBe(true);
}

function expectPart(answer: FileAnswer, start: number, end: number, what?: string): void {
  expect([what, answer.status]).toEqual([what, 206]);
  expect(toldOf(answer)).toEqual({
    ...wholeHeaders(),
    'content-length': String(end - start),
    'content-range': `bytes ${start}-${end - 1}/${image.bytes.length}`,
  });
  expect(answer.body.equals(image.bytes.subarray(start, end)), what).toBe(true);
}

test('an image comes whole, with what it takes to check it', async () => {
  expectWhole(await askFor());
});

test('HEAD tells the same without the bytes, whatever range it names', async () => {
  for (const headers of [{}, { range: 'bytes=0-9' }, { range: 'bytes=99999999999-' }]) {
    const head = await askFor(headers, { method: 'HEAD' });
    expect([head.status, head.body.length]).toEqual([200, 0]);
    expect(toldOf(head)).toEqual(wholeHeaders());
  }
});

test('an image without bytes comes as it is, and no range of it can be had', async () => {
  const empty = await storeImage(service(), Buffer.alloc(0));
  const whole = await askFor({}, empty);
  expect([whole.status, whole.headers['content-length'], whole.body.length]).toEqual([200, '0', 0]);
  expect(whole.headers.etag).toBe(empty.etag);
  expect((await askFor({ range: 'bytes=-5' }, empty)).status).toBe(200);
  const range = await askFor({ range: 'bytes=0-' }, empty);
  expect([range.status, range.headers['content-range']]).toEqual([416, 'bytes */0']);
});

test('one connection serves one answer after the other', async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  const { path, etag } = image;
  expectWhole(await ask(service(), path, { agent }));
  const known = await ask(service(), path, { agent, headers: { 'if-none-match': etag } });
  const range = await ask(service(), path, { agent, headers: { range: 'bytes=5-9' } });
  const beyond = await ask(service(), path, { agent, headers: { range: 'bytes=99999999999-' } });
  const last = await ask(service(), path, { agent });
  expect([known, range, beyond].map(({ status }) => status)).toEqual([304, 206, 416]);
  expectWhole(last);
  expect([known, range, beyond, last].map(({ reused }) => reused)).toEqual(Array(4).fill(true));
});

describe('a range', () => {
  test('of any form brings just its bytes', async () => {
    const size = image.bytes.length;
    for (const [range, start, end] of [
      ['bytes=0-0', 0, 1],
      ['bytes=10-19', 10, 20],
      ['Bytes=10-19', 10, 20],
      ['bytes= 10-19 ', 10, 20],
      ['bytes=1400000-2000000', 1_400_000, 2_000_001],
      ['bytes=1900000-40000000', 1_900_000, 40_000_001],
      [`bytes=${size - 7}-`, size - 7, size],
      [`bytes=${size - 7}-99999999999`, size - 7, size],
      [`bytes=0-${'9'.repeat(400)}`, 0, size],
      ['bytes=-1', size - 1, size],
      ['bytes=-200000', size - 200_000, size],
      ['bytes=0-', 0, size],
      ['bytes=-99999999999', 0, size],
    ] as const) {
      expectPart(await askFor({ range }), start, end, range);
    }
  });

  test('beyond the end is refused, and the size told', async () => {
    const size = image.bytes.length;
    for (const range of [`bytes=${size}-`, `bytes=${size}-${size}`, `bytes=${'9'.repeat(400)}-`]) {
      const answer = await askFor({ range });
      expect([answer.status, answer.headers['content-range']]).toEqual([416, `bytes */${size}`]);
      expect(answer.headers['cache-control']).toBe('no-store');
      expect(JSON.parse(answer.body.toString())).toMatchObject({ error: { code: 416 } });
    }
    expect((await askFor({ range: 'bytes=-0' })).status).toBe(416);
  });

  test.each([
    'bytes=9-5',
    'bytes=-',
    'bytes=',
    'bytes=a-b',
    'bytes=1-2-3',
    'bytes=+1-2',
    'bytes=1.5-2',
    'bytes=0-4,6-9',
    'bytes=0-4,',
    'bytes 0-4',
    'pages=1-2',
    '0-4',
    '',
  ])('is not taken for one: %s', async (range) => {
    const { path } = await storeImage(service(), Buffer.from('twelve bytes'));
    const answer = await askFor({ range }, { path });
    expect([answer.status, answer.body.toString()]).toEqual([200, 'twelve bytes']);
  });

  test('is honoured only where If-Range names the same bytes', async () => {
    const range = 'bytes=10-19';
    expectPart(await askFor({ range, 'if-range': image.etag }), 10, 20);
    for (const ifRange of [
      '"another"',
      `W/${image.etag}`,
      '*',
      'Sat, 29 Oct 2033 19:43:31 GMT',
      '',
    ]) {
      expectWhole(await askFor({ range, 'if-range': ifRange }), ifRange);
    }
    const beyond = { range: 'bytes=99999999999-', 'if-range': '"another"' };
    expectWhole(await askFor(beyond));
  });
});

describe('conditions', () => {
  test('who has the bytes is told so, and sent nothing', async () => {
    for (const known of [image.etag, `W/${image.etag}`, `"a", ${image.etag}`, '*']) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await askFor({ 'if-none-match': known, range: 'bytes=0-4' }, { method });
        expect([known, answer.status, answer.body.length]).toEqual([known, 304, 0]);
        expect(answer.headers.etag).toBe(image.etag);
        expect(answer.headers['cache-control']).toBe('private, no-cache');
        expect(answer.headers['content-range']).toBeUndefined();
      }
    }
    expectWhole(await askFor({ 'if-none-match': '"another"' }));
  });

  test('who wants other bytes gets none', async () => {
    for (const wanted of ['"another"', `W/${image.etag}`, 'nonsense']) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await askFor({ 'if-match': wanted }, { method });
        expect([wanted, answer.status]).toEqual([wanted, 412]);
      }
    }
    for (const wanted of [image.etag, `"a", ${image.etag}`, '*']) {
      expectPart(await askFor({ 'if-match': wanted, range: 'bytes=0-4' }), 0, 5);
    }
  });

  test('If-Match comes first, then If-None-Match, then the range', async () => {
    const other = '"another"';
    const beyond = 'bytes=99999999999-';
    const { etag } = image;
    for (const [headers, status] of [
      [{ 'if-match': other, 'if-none-match': etag, range: beyond }, 412],
      [{ 'if-match': etag, 'if-none-match': etag, range: beyond }, 304],
      [{ 'if-match': etag, 'if-none-match': other, range: beyond }, 416],
      [{ 'if-match': etag, 'if-none-match': other, 'if-range': other, range: beyond }, 200],
    ] as const) {
      expect([headers, (await askFor(headers)).status]).toEqual([headers, status]);
    }
  });
});

describe('what has no bytes to send is told in OpenStack’s form', () => {
  test('no such image, and one of another project', async () => {
    const database = await Database.connect({
      url: service().databaseUrl,
      poolSize: 1,
      onWarning: () => {},
    });
    const { imageId: strange } = await makeTask(database, { caller: stranger });
    await database.close();
    for (const id of [randomUUID(), 'nonsense', strange]) {
      const answer = await askFor(
        { accept: 'application/json' },
        { path: `/v2/images/${id}/file` },
      );
      expect([answer.status, answer.headers['cache-control']]).toEqual([404, 'no-store']);
      expect(JSON.parse(answer.body.toString())).toMatchObject({ code: '404 Not Found' });
    }
  });

  test('an image that waits for its bytes, and one that was deleted', async () => {
    const { imageId: queued } = await makeUpload(service());
    const { id: deleted } = await storeImage(service(), Buffer.from('gone'));
    await service().images.deleteImage({ imageId: deleted });
    for (const [id, status] of [
      [queued, 204],
      [deleted, 404],
    ] as const) {
      for (const headers of [{}, { 'if-none-match': '*' }, { 'if-match': '"a"' }]) {
        const answer = await askFor(headers, { path: `/v2/images/${id}/file` });
        expect([id, answer.status]).toEqual([id, status]);
        expect(answer.headers.etag).toBeUndefined();
        expect(answer.headers['cache-control']).toBe('no-store');
      }
      const head = await askFor({}, { path: `/v2/images/${id}/file`, method: 'HEAD' });
      expect([head.status, head.body.length]).toEqual([status, 0]);
    }
  });

  test('nothing can be done but to read and to put it', async () => {
    for (const method of ['POST', 'PATCH', 'DELETE']) {
      const answer = await askFor({}, { method });
      expect([answer.status, answer.headers.allow]).toEqual([405, 'GET, HEAD, PUT']);
    }
  });
});
