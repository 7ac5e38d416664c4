import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openChromium, type Chromium } from '../support/chromium.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasProgram } from '../support/disk-images.ts';
import { downloadBytes, startService, type RunningService } from '../support/running-service.ts';
import { repository } from '../support/service-process.ts';

const hasChromium = hasProgram('chromium', 'chromium');
const chunkBytes = 300_000;
const length = 1_000_000;

describe.skipIf(!hasChromium)('a page in a browser', () => {
  let chromium: Chromium;
  let service: RunningService;
  /** The console's page, which the service is told of, and a stranger's. */
  let ours: string;
  let theirs: string;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    ours = await servePage(cleanUps);
    theirs = await servePage(cleanUps);
    service = await startService({ DARKROOM_CORS_ORIGINS: ours }, cleanUps.defer);
    chromium = await openChromium();
    cleanUps.defer(() => chromium.close());
    return cleanUps.run;
  });

  const baseUrl = (): string => JSON.stringify(service.process.url);

  test('of another origin uploads by chunks, resumes, watches, and reads with a plain GET', async () => {
    const told = (await chromium.evaluate(
      ours,
      `uploadInChunks(${baseUrl()}, ${length}, ${chunkBytes})`,
    )) as { readonly created: { readonly image: { readonly id: string } } };
    const bytes = Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 7919) >> 3));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(told).toMatchObject({
      created: { requestId: expect.stringMatching(/^[0-9a-f-]{36}$/) },
      resumedAt: chunkBytes,
      answer: { complete: true, committedSize: String(length) },
      image: { state: 'STATE_ACTIVE', sizeBytes: String(length), sha256 },
      watched: { end: {} },
    });
    const { states } = (told as unknown as { watched: { states: string[] } }).watched;
    expect(states[0]).toMatch(/^STATE_(PENDING|RUNNING)$/);
    expect(states.at(-1)).toBe('STATE_SUCCEEDED');
    const downloaded = await downloadBytes(service.images, told.created.image.id);
    expect(downloaded.bytes.equals(bytes)).toBe(true);
  });

  test('can read what was wrong, and under which id the log tells of it', async () => {
    const told = await chromium.evaluate(
      ours,
      `get(${baseUrl()}, 'ImageService/GetImage', { imageId: 'x' })`,
    );
    expect(told).toMatchObject({
      error: {
        code: 'invalid_argument',
        details: expect.arrayContaining([
          expect.objectContaining({
            type: 'google.rpc.ErrorInfo',
            debug: expect.objectContaining({ reason: 'FIELD_INVALID' }),
          }),
        ]),
      },
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
  });

  test('of an origin that the service was not told of reads nothing and changes nothing', async () => {
    for (const [call, message] of [
      ['get', `'ImageService/ListImages', {}`],
      [
        'call',
        `'ImageService/CreateImage', { image: { name: 'stranger', diskFormat: 1 }, upload: {} }`,
      ],
    ] as const) {
      const told = await chromium.evaluate(
        theirs,
        `${call}(${baseUrl()}, ${message}).then(() => 'read', (error) => error.name)`,
      );
      expect(told, call).toBe('TypeError');
    }
    const { images } = await service.images.listImages({ filter: { name: 'stranger' } });
    expect(images).toEqual([]);
  });
});

/** Serves the page on a port of its own, which makes it an origin of its own. */
async function servePage(cleanUps: CleanUps): Promise<string> {
  const script = await readFile(join(repository, 'test/clients/browser-upload.js'));
  const server = createServer((request, response) => {
    if (request.url === '/browser-upload.js') {
      response.setHeader('content-type', 'text/javascript');
      response.end(script);
    } else {
      response.setHeader('content-type', 'text/html');
      response.end(
        '<!doctype html><title>console</title><script src="browser-upload.js"></script>',
      );
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUps.defer(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
