import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { openGate } from '../../src/server/gate.ts';
import { consoleFolder, consoleRoutes } from '../../src/server/console/console-routes.ts';
import {
  StaticFiles,
  staticRecord,
  type StaticRecord,
} from '../../src/server/http/static-files.ts';
import { startingApplication } from '../../src/server/starting-application.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startFakeServer } from '../server/fake-server.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { builtConsole, hasChromium, openBrowser, openPage } from './console-page.ts';

/** As Chromium says it. */
const browserAccept =
  'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8';

/** The most that a browser loads of it, compressed, in bytes. */
const mostBytes = 150 * 1024;
/** How long it may take until something is there to be read, in ms. */
const firstPaintMs = 1000;

describe('the console', () => {
  let service: RunningService;
  beforeAll(async () => {
    const cleanUps = new CleanUps();
    await builtConsole();
    service = await startService({}, cleanUps.defer);
    return cleanUps.run;
  });

  function get(path: string, accept?: string): Promise<Response> {
    return fetch(service.process.url + path, {
      headers: { ...(accept !== undefined && { accept }) },
    });
  }

  test('is for browsers; programs get at / what they always got', async () => {
    const page = await get('/', browserAccept);
    expect([page.status, page.headers.get('content-type')]).toEqual([
      200,
      'text/html; charset=utf-8',
    ]);
    expect(page.headers.get('vary')).toMatch(/\bAccept\b/);
    for (const accept of ['application/json', '*/*', '', 'text/html;q=0, */*']) {
      const versions = await get('/', accept);
      expect([accept, versions.status]).toEqual([accept, 300]);
      expect(await versions.json()).toHaveProperty('versions');
    }
  });

  test.for(['/images', '/images/x', '/tasks', '/tasks/x', '/uploads'])(
    'is one page, at %s too; for programs there is nothing',
    async (path) => {
      const page = await get(path, browserAccept);
      expect(await page.text()).toBe(await (await get('/', browserAccept)).text());
      expect((await get(path)).status).toBe(404);
      const posted = await fetch(service.process.url + path, { method: 'POST' });
      expect(posted.status).toBe(404);
    },
  );

  test('is no more than a browser needs, and nothing of anybody else', async () => {
    const record = JSON.parse(
      await readFile(join(consoleFolder, staticRecord), 'utf8'),
    ) as StaticRecord;
    const sizes = await Promise.all(
      record.files.map(async (file) => {
        const bytes = await readFile(join(consoleFolder, record.folder, file));
        return file.endsWith('.woff2') ? bytes.length : gzipSync(bytes).length;
      }),
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(mostBytes);

    const page = await get('/', browserAccept);
    const html = await page.text();
    const policy = page.headers.get('content-security-policy');
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/unsafe|\*|data:|blob:|https?:/);
    expect(html).not.toMatch(/<style|style=|\son\w+=|<script(?![^>]*\ssrc="\/console\/)[^>]*>/);
    const parts = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address]) => address!);
    expect(parts.length).toBeGreaterThan(2);
    for (const address of parts) {
      expect(address).toMatch(/^\/console\/[\w-]+\.\w+$/);
      const part = await get(address);
      expect([address, part.status, part.headers.get('cache-control')]).toEqual([
        address,
        200,
        'public, max-age=31536000, immutable',
      ]);
    }
    expect((await get('/console/nothing.js')).status).toBe(404);
    // What is served is what was built, and no build before it is left.
    expect(await readdir(consoleFolder)).toHaveLength(2);
  });

  test.skipIf(!hasChromium)('shows something within a second, and asks nobody else', async () => {
    const cleanUps = new CleanUps();
    try {
      const browser = await openBrowser(cleanUps.defer);
      const context = await browser.newContext();
      const origins = new Set<string>();
      context.on('request', (request) => origins.add(new URL(request.url()).origin));
      // The browser's own first page is warm, as that of a reader is.
      await openPage(context, 'about:blank');
      const { page, complaints } = await openPage(context, service.process.url);
      await page.locator('h1').waitFor();
      const paintedMs = await page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0].startTime",
      );
      expect(paintedMs).toBeLessThan(firstPaintMs);
      origins.delete('null');
      expect([...origins]).toEqual([service.process.url]);
      expect(complaints).toEqual([]);
    } finally {
      await cleanUps.run();
    }
  });
});

test('a console that is not built says how to build it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'darkroom-no-console-'));
  try {
    const server = await startFakeServer({
      httpRoutes: consoleRoutes(new StaticFiles(folder)).map(({ path, ...route }) =>
        Object.assign(route, { path: `/elsewhere${path}` }),
      ),
    });
    const answer = await fetch(`${server.url}/elsewhere/images`, {
      headers: { accept: browserAccept },
    });
    expect(answer.status).toBe(404);
    expect(await answer.text()).toContain('`npm run build`');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('the console is there while the service starts, so that it can say so', async () => {
  await builtConsole();
  const { httpRoutes } = startingApplication([ImageService]);
  const server = await startFakeServer({ httpRoutes, gate: openGate });
  const answer = await fetch(server.url, { headers: { accept: browserAccept } });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([
    200,
    'text/html; charset=utf-8',
  ]);
  expect((await fetch(server.url)).status).toBe(503);
});
