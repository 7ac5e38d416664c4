import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, brotliDecompressSync } from 'node:zlib';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { buildStatic, isStaticCurrent, root } from '../../../build/static-build.ts';
import { sendSentence, sendStatic } from '../../../src/server/http/send-static.ts';
import { StaticFiles, staticRecord } from '../../../src/server/http/static-files.ts';
import { CleanUps } from '../../support/clean-ups.ts';
import { serveFakes, type FakeServer } from '../fake-server.ts';

const page = `<!doctype html>${'<p>of a site</p>'.repeat(200)}`;
const script = `console.log(${JSON.stringify('x'.repeat(4000))});`;
const short = 'body { margin: 0 }';

let folder: string;
let server: FakeServer;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  folder = await mkdtemp(join(tmpdir(), 'darkroom-site-'));
  cleanUps.defer(() => rm(folder, { recursive: true, force: true }));
  const files = new StaticFiles(folder);
  server = await serveFakes({
    httpRoutes: [
      {
        method: 'GET',
        path: '/site/*',
        handle: async (call) => {
          const path = (call.request.url ?? '').slice('/site/'.length);
          const file = await files.find(path);
          if (file === undefined) {
            sendSentence(call.response, 404, 'There is nothing.');
          } else {
            sendStatic(call, file, path.startsWith('assets/'));
          }
        },
      },
    ],
  });
  cleanUps.defer(() => server.close());
  return cleanUps.run;
});

async function build(text = page): Promise<void> {
  await buildStatic(folder, async (draft) => {
    await mkdir(join(draft, 'assets'));
    await writeFile(join(draft, 'index.html'), text);
    await writeFile(join(draft, 'assets/a-1.js'), script);
    await writeFile(join(draft, 'assets/b-2.css'), short);
    return [join(root, 'package.json')];
  });
}

/** Asks as it is: fetch would unpack, and resolve dots. */
async function get(
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<{ readonly response: IncomingMessage; readonly body: Buffer }> {
  const { port } = new URL(server.url);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    httpRequest({ port, host: '127.0.0.1', path, headers, method, agent: false }, resolve)
      .on('error', reject)
      .end();
  });
  return { response, body: Buffer.concat(await response.toArray()) };
}

describe('a site', () => {
  beforeEach(() => build());

  test('travels in the shortest form that its reader takes', async () => {
    const forms = [
      ['br, gzip', 'br', brotliDecompressSync],
      ['gzip, deflate, br;q=0', 'gzip', gunzipSync],
      ['deflate', undefined, (bytes: Buffer) => bytes],
      ['*', undefined, (bytes: Buffer) => bytes],
      [undefined, undefined, (bytes: Buffer) => bytes],
    ] as const;
    for (const [taken, encoding, unpack] of forms) {
      const { response, body } = await get('/site/assets/a-1.js', {
        ...(taken !== undefined && { 'accept-encoding': taken }),
      });
      expect([taken, response.statusCode, response.headers['content-encoding']]).toEqual([
        taken,
        200,
        encoding,
      ]);
      expect(unpack(body).toString()).toBe(script);
      expect(response.headers['content-length']).toBe(String(body.length));
      expect(response.headers.vary).toMatch(/Accept-Encoding/);
    }
    const { response } = await get('/site/assets/b-2.css', { 'accept-encoding': 'br' });
    expect(response.headers['content-encoding']).toBeUndefined();
  });

  test('says what it is, and what its pages may do', async () => {
    const { response } = await get('/site/index.html');
    expect(response.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
    });
    const policy = String(response.headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
  });

  test('is asked for once where names change with bytes, and else whether it still holds', async () => {
    const asset = await get('/site/assets/a-1.js');
    expect(asset.response.headers['cache-control']).toBe('public, max-age=31536000, immutable');
    const first = await get('/site/index.html');
    expect(first.response.headers['cache-control']).toBe('private, no-cache');
    const etag = String(first.response.headers.etag);
    const again = await get('/site/index.html', { 'if-none-match': etag });
    expect([again.response.statusCode, again.body.length]).toEqual([304, 0]);
    await build(`${page}<p>changed</p>`);
    const changed = await get('/site/index.html', { 'if-none-match': etag });
    expect(changed.response.statusCode).toBe(200);
    expect(changed.body.toString()).toContain('changed');
  });

  test('is told of without its bytes by HEAD', async () => {
    const { response, body } = await get('/site/index.html', {}, 'HEAD');
    expect([response.statusCode, body.length]).toEqual([200, 0]);
    expect(response.headers['content-length']).toBe(String(page.length));
  });

  test.for([
    '/site/../../etc/passwd',
    '/site/assets/../../build.json',
    '/site/%2e%2e/build.json',
    '/site/build.json',
    '/site/assets',
    '/site/assets/a-1.js.br',
    '/site/__proto__',
  ])('gives out nothing else: %s', async (path) => {
    const { response, body } = await get(path);
    expect([response.statusCode, body.toString()]).toEqual([404, 'There is nothing.\n']);
    expect(response.headers['cache-control']).toBe('no-store');
  });
});

describe('a build', () => {
  test('that fails leaves the one before, and nothing else', async () => {
    await build();
    await expect(
      buildStatic(folder, async (draft) => {
        await writeFile(join(draft, 'index.html'), 'half');
        throw new Error('the disk is full');
      }),
    ).rejects.toThrow('the disk is full');
    expect((await get('/site/index.html')).body.toString()).toBe(page);
    expect(await readdir(folder)).toHaveLength(2);
  });

  test('is current until what it was made of has changed', async () => {
    const source = join(root, 'test/server/http', `made-of-${process.pid}.txt`);
    const site = await mkdtemp(join(tmpdir(), 'darkroom-site-'));
    try {
      await writeFile(source, 'one');
      await buildStatic(site, async (draft) => {
        await writeFile(join(draft, 'index.html'), await readFile(source));
        return [source];
      });
      expect(await isStaticCurrent(site)).toBe(true);
      await writeFile(source, 'another');
      expect(await isStaticCurrent(site)).toBe(false);
      await rm(source);
      expect(await isStaticCurrent(site)).toBe(false);
    } finally {
      await rm(source, { force: true });
      await rm(site, { recursive: true, force: true });
    }
  });

  test('whose record is torn or whose files are gone counts as none, until the next', async () => {
    for (const record of ['{"folder": "bui', '{"folder": "build-gone", "files": ["index.html"]}']) {
      await writeFile(join(folder, staticRecord), record);
      expect((await get('/site/index.html')).response.statusCode).toBe(404);
    }
    await build();
    expect((await get('/site/index.html')).response.statusCode).toBe(200);
  });
});
