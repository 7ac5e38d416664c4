import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { openChromium, type Chromium } from '../support/chromium.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasProgram } from '../support/disk-images.ts';
import { patience } from '../support/held-upload.ts';
import { downloadBytes, startService, type RunningService } from '../support/running-service.ts';
import { repository } from '../support/service-process.ts';

const hasChromium = hasProgram('chromium', 'chromium');
/** A name that the browser takes for this machine. */
const rebound = 'rebound.test';
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
    chromium = await openChromium(rebound);
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

  describe('of an origin that the service was not told of', () => {
    test('reads nothing and changes nothing, with and without CORS', async () => {
      const { imageId, unchanged } = await someImage('stranger');
      const answered = (expression: string): string =>
        `${expression}.then((answer) => answer.type ?? 'read', (error) => error.name)`;
      const inFull = (method: string, message: unknown): string =>
        `call(${baseUrl()}, 'ImageService/${method}', ${JSON.stringify(message)})`;
      const blindly = (method: string, message: unknown, more: string): string =>
        `fetch(${baseUrl()} + '/darkroom.v1.ImageService/${method}', ` +
        `{ mode: 'no-cors', method: 'POST', body: ${JSON.stringify(JSON.stringify(message))}, ${more} })`;
      const image = { name: 'stranger', diskFormat: 1 };
      for (const [expression, outcome] of [
        [`get(${baseUrl()}, 'ImageService/ListImages', {})`, 'TypeError'],
        [`fetch(${baseUrl()} + '/v2/images/${imageId}')`, 'TypeError'],
        [inFull('CreateImage', { image, upload: {} }), 'TypeError'],
        [inFull('DeleteImage', { imageId }), 'TypeError'],
        // Sent without asking first; its answer cannot be read.
        [blindly('CreateImage', { image, upload: {} }, ''), 'opaque'],
        [
          blindly('DeleteImage', { imageId }, `headers: { 'content-type': 'text/plain' }`),
          'opaque',
        ],
      ] as const) {
        expect([expression, await chromium.evaluate(theirs, answered(expression))]).toEqual([
          expression,
          outcome,
        ]);
      }
      await unchanged();
    });

    test('is refused what forms, beacons and images ask for', async () => {
      const { imageId, unchanged } = await someImage('stranger with a form');
      const deletion = `${service.process.url}/darkroom.v1.ImageService/DeleteImage`;
      const file = `${service.process.url}/v2/images/${imageId}/file`;
      const refusals = (): number =>
        service.process.log.filter(({ reason }) => reason === 'ORIGIN_NOT_ALLOWED').length;
      for (const act of [
        `form.enctype = 'text/plain', form.submit(), until(frame)`,
        `form.enctype = 'application/x-www-form-urlencoded', form.submit(), until(frame)`,
        `navigator.sendBeacon('${deletion}', '{"imageId":"${imageId}"}')`,
        `until(Object.assign(new Image(), { src: '${file}' }))`,
        `document.head.append(script), until(script)`,
        `frame.src = '${file}', until(frame)`,
      ]) {
        const before = refusals();
        await chromium.evaluate(
          theirs,
          `document.body.innerHTML =
             '<iframe name="frame"></iframe><form method="post" target="frame" action="${deletion}">' +
             '<input name="{&quot;imageId&quot;:&quot;${imageId}&quot;,&quot;a" value="&quot;}"></form>';
           var [form, frame] = [document.forms[0], document.querySelector('iframe')];
           var script = Object.assign(document.createElement('script'), { src: '${file}' });
           var until = (element) => new Promise((done) => (element.onload = element.onerror = () => done()));
           ${act}`,
        );
        await expect.poll(refusals, patience).toBeGreaterThan(before);
      }
      await unchanged();
    });
  });

  describe('of any origin, to a service of which nothing was said', () => {
    let plain: RunningService;
    const cleanUps = new CleanUps();
    beforeAll(async () => {
      plain = await startService({}, cleanUps.defer);
      return cleanUps.run;
    });

    /** What a page tries; answers what came of it to the page. */
    const acts: readonly (readonly [string, (elsewhere: string) => string])[] = [
      [
        'by fetch',
        () => `fetch(deletion, { method: 'POST', headers: json, body }).then(read, failed)`,
      ],
      [
        'by fetch that asks for no answer',
        () => `fetch(deletion, { method: 'POST', mode: 'no-cors', body }).then(read, failed)`,
      ],
      [
        'by fetch with all that the browser knows',
        () =>
          `fetch(deletion, { method: 'POST', credentials: 'include', body }).then(read, failed)`,
      ],
      [
        'by fetch that is led here by another site',
        (elsewhere) => `fetch('${elsewhere}', { method: 'POST', body }).then(read, failed)`,
      ],
      [
        'by XMLHttpRequest',
        () => `new Promise((done) => {
          const request = new XMLHttpRequest();
          request.onload = () => done('read ' + request.status);
          request.onerror = () => done('failed');
          request.open('POST', deletion);
          request.send(body);
        })`,
      ],
      [
        'from a frame without an origin',
        () => `new Promise((done) => {
          onmessage = ({ data }) => done(data);
          const frame = document.createElement('iframe');
          frame.sandbox = 'allow-scripts';
          frame.srcdoc = '<script>fetch(' + JSON.stringify(deletion) + ', { method: "POST", body: ' +
            JSON.stringify(JSON.stringify(body)) + ' }).then(() => "read", () => "failed")' +
            '.then((text) => parent.postMessage(text, "*"))</' + 'script>';
          document.body.append(frame);
        })`,
      ],
      [
        'by a WebSocket',
        () => `new Promise((done) => {
          const socket = new WebSocket(deletion.replace('http', 'ws'));
          socket.onopen = () => done('read');
          socket.onerror = () => done('failed');
        })`,
      ],
      [
        'by an EventSource',
        () => `new Promise((done) => {
          const events = new EventSource(deletion.replace(/darkroom.*/, 'v2/tasks'));
          events.onopen = () => done('read');
          events.onerror = () => { events.close(); done('failed'); };
        })`,
      ],
      [
        'by a script of the service',
        () => `import(deletion.replace(/darkroom.*/, 'v2/tasks')).then(read, failed)`,
      ],
    ];

    test.each(acts)('nothing is read or changed %s', async (_, act) => {
      const { image } = await plain.images.createImage({
        image: { name: 'mine', diskFormat: 1 },
        source: { case: 'upload', value: {} },
      });
      const imageId = image!.id;
      const deletion = `${plain.process.url}/darkroom.v1.ImageService/DeleteImage`;
      const elsewhere = `${theirs}/leads-to?${encodeURIComponent(deletion)}`;
      const told = await chromium.evaluate(
        theirs,
        `var deletion = ${JSON.stringify(deletion)}, body = ${JSON.stringify(JSON.stringify({ imageId }))};
         var json = { 'content-type': 'application/json' };
         var read = (answer) => answer.type === 'opaque' ? 'blind' : 'read';
         var failed = () => 'failed';
         ${act(elsewhere)}`,
      );
      expect(told).toMatch(/^(?:failed|blind)$/);
      expect((await plain.images.getImage({ imageId })).image?.state).toBe(Image_State.QUEUED);
    });
  });

  describe('whose name was made this service’s (DNS rebinding)', () => {
    const deleteImage = (imageId: string): string =>
      `call(location.origin, 'ImageService/DeleteImage', ${JSON.stringify({ imageId })})`;

    test('reads nothing and changes nothing', async () => {
      const { imageId, unchanged } = await someImage('rebound');
      // The page is loaded from the service, as a rebound one would be; then the script is the stranger's.
      const page = `http://${rebound}:${new URL(service.process.url).port}/healthz`;
      const told = await chromium.evaluate(page, `${await script()}; ${deleteImage(imageId)}`);
      expect(told).toMatchObject({
        error: {
          code: 'permission_denied',
          message: expect.stringMatching(
            /the service is not known by the name "rebound\.test:\d+"/,
          ),
        },
      });
      const read = await chromium.evaluate(
        page,
        `fetch('/v2/images/${imageId}').then((a) => a.json())`,
      );
      expect(read).toEqual({ error: expect.objectContaining({ code: 403 }) });
      await unchanged();
    });

    test('is the service’s own page where the name is one of the service', async () => {
      const named = await service.another({ DARKROOM_HOSTS: rebound });
      const { imageId } = await someImage('known');
      const page = `http://${rebound}:${new URL(named.process.url).port}/healthz`;
      await chromium.evaluate(page, `${await script()}; ${deleteImage(imageId)}`);
      const { image } = await service.images.getImage({ imageId });
      expect(image?.state).toBe(Image_State.DELETED);
    });
  });

  /** An image, and what holds that it is still there, and that it is the only one of its name. */
  async function someImage(
    name: string,
  ): Promise<{ imageId: string; unchanged: () => Promise<void> }> {
    const { image } = await service.images.createImage({
      image: { name, diskFormat: 1 },
      source: { case: 'upload', value: {} },
    });
    return {
      imageId: image!.id,
      async unchanged() {
        const { images } = await service.images.listImages({ filter: { name } });
        expect(images.map(({ id, state }) => [id, state])).toEqual([
          [image!.id, Image_State.QUEUED],
        ]);
      },
    };
  }
});

function script(): Promise<string> {
  return readFile(join(repository, 'test/clients/browser-upload.js'), 'utf8');
}

/** Serves the page on a port of its own, which makes it an origin of its own. */
async function servePage(cleanUps: CleanUps): Promise<string> {
  const script = await readFile(join(repository, 'test/clients/browser-upload.js'));
  const server = createServer((request, response) => {
    const [, target] = /^\/leads-to\?(.*)$/.exec(request.url ?? '') ?? [];
    if (target !== undefined) {
      // As a stranger would have it: all that CORS asks is allowed.
      response.setHeader('access-control-allow-origin', '*');
      response.writeHead(307, { location: decodeURIComponent(target) }).end();
    } else if (request.url === '/browser-upload.js') {
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
