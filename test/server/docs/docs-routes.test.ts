import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { buildStatic, root } from '../../../build/static-build.ts';
import { docsRoutes } from '../../../src/server/docs/docs-routes.ts';
import { StaticFiles } from '../../../src/server/http/static-files.ts';
import { CleanUps } from '../../support/clean-ups.ts';
import { httpEndpoints } from '../../../src/server/http/http-endpoints.ts';
import { serveFakes, type FakeServer } from '../fake-server.ts';

/** The routes below another path, for the server has its own of them already. */
function movedRoutes(folder: string): ReturnType<typeof docsRoutes> {
  return docsRoutes(new StaticFiles(folder)).map((route) =>
    Object.assign(
      { ...route },
      {
        path: `/moved${route.path}`,
        handle: (call: Parameters<typeof route.handle>[0]) => {
          call.request.url = (call.request.url ?? '').replace('/moved', '');
          return route.handle(call);
        },
      },
    ),
  );
}

describe('the documentation of a service', () => {
  let server: FakeServer;
  let folder: string;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    folder = await mkdtemp(join(tmpdir(), 'darkroom-docs-'));
    cleanUps.defer(() => rm(folder, { recursive: true, force: true }));
    server = await serveFakes({ httpRoutes: movedRoutes(folder) });
    cleanUps.defer(() => server.close());
    return cleanUps.run;
  });

  const get = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${server.url}/moved${path}`, { redirect: 'manual', ...init });

  test('says how it is built where it is not', async () => {
    const response = await get('/docs/');
    expect(response.status).toBe(404);
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await response.text()).toContain('npm run build');
  });

  test('has its pages and what they ask for, once it is built', async () => {
    await buildStatic(folder, async (draft) => {
      await mkdir(join(draft, 'assets'));
      await mkdir(join(draft, 'decisions'));
      await writeFile(join(draft, 'index.html'), 'first');
      await writeFile(join(draft, 'decisions/index.html'), 'decisions');
      await writeFile(join(draft, 'assets/style-1.css'), 'body {}');
      return [join(root, 'package.json')];
    });
    const moved = await get('/docs');
    expect([moved.status, moved.headers.get('location')]).toEqual([308, '/docs/']);
    for (const [path, text] of [
      ['/docs/', 'first'],
      ['/docs/?from=console', 'first'],
      ['/docs/index.html', 'first'],
      ['/docs/decisions/', 'decisions'],
      ['/docs/assets/style-1.css', 'body {}'],
    ] as const) {
      const response = await get(path);
      expect([path, response.status, await response.text()]).toEqual([path, 200, text]);
      expect(response.headers.get('content-security-policy')).toContain("script-src 'self'");
    }
    const page = await get('/docs/');
    expect(page.headers.get('cache-control')).toBe('private, no-cache');
    const asset = await get('/docs/assets/style-1.css');
    expect(asset.headers.get('cache-control')).toContain('immutable');
    const headers = { 'if-none-match': page.headers.get('etag') ?? '' };
    expect((await get('/docs/', { headers })).status).toBe(304);
    expect((await get('/docs/', { method: 'HEAD' })).headers.get('content-length')).toBe('5');
  });

  test.each(['/docs/none.html', '/docs/build.json', '/docs/..%2f..%2fpackage.json', '/docs/%00'])(
    'has nothing at %s',
    async (path) => {
      const response = await get(path);
      expect(response.status).toBe(404);
      expect(await response.text()).toContain('begin at /docs/');
    },
  );

  test('is only read', async () => {
    expect((await get('/docs/', { method: 'POST' })).status).toBe(405);
  });
});

test('the documentation is there while the service stops', () => {
  expect(docsRoutes().every(({ whileDraining }) => whileDraining === true)).toBe(true);
  expect(httpEndpoints(docsRoutes()).names).toEqual(['GET /docs', 'GET /docs/*']);
});
