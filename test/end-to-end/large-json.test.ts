import { randomBytes } from 'node:crypto';
import * as http2 from 'node:http2';
import { text } from 'node:stream/consumers';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { CleanUps } from '../support/clean-ups.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { createRequest } from './bad-input/case.ts';

const MiB = 1024 * 1024;
const images = '/darkroom.v1.ImageService';

let service: RunningService;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({}, cleanUps.defer);
  return cleanUps.run;
});

/** Larger ones are read on another thread. */
const padding = { padding: 'x'.repeat(100_000) };

async function post(method: string, body: string | Uint8Array<ArrayBuffer>, headers: object = {}) {
  const response = await fetch(`${service.process.url}${images}/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function postHttp2(method: string, json: string): Promise<unknown> {
  const session = http2.connect(service.process.url);
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': `${images}/${method}`,
      'content-type': 'application/json',
    });
    stream.end(json);
    return JSON.parse(await text(stream));
  } finally {
    session.destroy();
  }
}

describe('a chunk in JSON', () => {
  const bytes = randomBytes(3 * MiB);

  test.each([
    ['as it is', (json: string) => json, {}],
    ['with gzip', (json: string) => new Uint8Array(gzipSync(json)), { 'content-encoding': 'gzip' }],
    [
      'with brotli',
      (json: string) => new Uint8Array(brotliCompressSync(json)),
      { 'content-encoding': 'br' },
    ],
  ])('becomes the image’s bytes: %s', async (_, pack, headers) => {
    const made = await service.images.createImage(createRequest());
    const json = (part: object): string => JSON.stringify({ taskId: made.task!.id, ...part });
    const half = bytes.byteLength / 2;
    const first = { offset: '0', data: bytes.subarray(0, half).toString('base64') };
    expect((await post('UploadChunk', pack(json(first)), headers)).body).toMatchObject({
      committedSize: String(half),
    });
    const second = {
      offset: String(half),
      // As browsers may write it.
      data: bytes.subarray(half).toString('base64url'),
      finish: { totalSize: String(bytes.byteLength) },
    };
    expect((await post('UploadChunk', pack(json(second)), headers)).body).toMatchObject({
      complete: true,
    });
    const file = await fetch(`${service.process.url}/v2/images/${made.image!.id}/file`);
    expect(Buffer.from(await file.arrayBuffer()).equals(bytes)).toBe(true);
  });

  test('that are many at once are all taken, whoever sends them', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const made = await service.images.createImage(createRequest());
        const data = Buffer.alloc(200_000, i).toString('base64');
        return postHttp2(
          'UploadChunk',
          JSON.stringify({ taskId: made.task!.id, offset: '0', data }),
        );
      }),
    );
    expect(answers).toEqual(
      answers.map(() => expect.objectContaining({ committedSize: '200000' })),
    );
  });
});

describe('what is wrong with a message in JSON is told in the same words, however large it is', () => {
  const name = 'a';
  test.each([
    ['a type', '{"image":{"name":7}PADDING}'],
    ['an enum', '{"image":{"diskFormat":"NONE"}PADDING}'],
    ['base64', '{"taskId":"x","data":"****"PADDING}'],
    ['a number', '{"taskId":"x","offset":"far"PADDING}'],
    ['half a character', '{"image":{"name":"\\ud800"}PADDING}'],
    ['no JSON', '{"image":{"name":7}PADDING'],
    ['JSON of something else', '[{"image":{}PADDING}]'],
    ['a field of the rules', `{"image":{"name":"${name.repeat(5)}"}PADDING}`],
  ])('%s', async (_, json) => {
    const method = json.includes('taskId') ? 'UploadChunk' : 'CreateImage';
    const rest = `,${JSON.stringify(padding).slice(1, -1)}`;
    const small = await post(method, json.replace('PADDING', ''));
    const large = await post(method, json.replace('PADDING', rest));
    expect(small.status).toBe(400);
    // But for where in the text it is.
    const told = (answer: unknown): string =>
      JSON.stringify(answer).replace(/position \d+ \(line 1 column \d+\)/, 'some position');
    expect(told(large)).toEqual(told(small));
    const packed = new Uint8Array(gzipSync(json.replace('PADDING', rest)));
    expect(told(await post(method, packed, { 'content-encoding': 'gzip' }))).toEqual(told(small));
  });
});
