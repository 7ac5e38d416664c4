import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { startSource, type SourceHandler } from '../imports/source-server.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { failureOf } from '../support/failures.ts';
import { makeDataDir } from '../support/service-process.ts';
import {
  activeImage,
  disk,
  endOf,
  importFrom,
  startCloud,
  type Cloud,
  type Person,
} from './cloud.ts';

const cleanUps = new CleanUps();
let cloud: Cloud;
let ann: Person;
let admin: Person;
let auditFile: string;

beforeAll(async () => {
  const folder = await makeDataDir();
  cleanUps.defer(folder.remove);
  auditFile = join(folder.path, 'audit.jsonl');
  cloud = await startCloud(
    { DARKROOM_LOG_LEVEL: 'trace', DARKROOM_AUDIT_FILE: auditFile },
    cleanUps.defer,
  );
  ann = await cloud.person('garden', 'member');
  admin = await cloud.person('garden', 'admin');
  return cleanUps.run;
});

const secrets = {
  query: 'kr4mpus-query-secret',
  header: 'p3rchta-header-secret',
  password: 'b3fana-password-secret',
} as const;

/** Ways in which a source fails, and says with what it was asked. */
const failing: Readonly<Record<string, SourceHandler>> = {
  'refuses, and quotes what it was asked': ({ url, headers }, response) =>
    response.writeHead(403).end(`no ${url} with ${JSON.stringify(headers)}`),
  'quotes it in a header': ({ url, headers }, response) =>
    response
      .writeHead(500, { 'x-error': encodeURIComponent(`${url} ${headers.authorization}`) })
      .end(),
  'leads elsewhere with it': ({ url, headers }, response) =>
    response
      .writeHead(302, { location: `gopher://host${url}&again=${headers.authorization}` })
      .end(),
  'breaks off': (_, response) => response.destroy(),
  'sends what is no image': ({ url, headers }, response) =>
    response.end(`<html>${url} ${headers.authorization}</html>`),
};

/**
 * OSSA-2013-002 (CVE-2013-0212): a fault told the credentials by which the store was reached. OSSA-2013-007 (CVE-2013-1840):
 * headers of an answer did. OSSA-2014-004 (CVE-2014-1948), OSSN-0052: the log did.
 */
describe('what an import was given to identify itself', () => {
  test.each(Object.entries(failing))(
    'is in no answer, no line of the log and no row where the source %s',
    async (_, handler) => {
      const source = await startSource(handler);
      const { imageId, taskId } = await importFrom(
        ann,
        `${source.origin}/disk?signature=${secrets.query}`,
        { headers: { authorization: `Bearer ${secrets.header}` } },
      );
      await endOf(ann, taskId);
      expect(source.requests[0]?.url).toContain(secrets.query);
      const answers: unknown[] = [];
      for (const who of [ann, admin]) {
        answers.push(
          await who.tasks.getTask({ taskId }),
          await who.tasks.listFaults({ of: { case: 'taskId', value: taskId } }),
          await who.tasks.listTaskEvents({ taskId }),
          await who.images.getImage({ imageId }),
          await who.tasks.listTasks({}),
        );
        for (const path of [
          `/v2/tasks/${taskId}`,
          `/v2/images/${imageId}`,
          `/v2/images/${imageId}/tasks`,
          '/v2/tasks',
        ]) {
          const { headers, body } = await who.rest('GET', path);
          answers.push([...headers], body.toString());
        }
      }
      const told = JSON.stringify(answers, (_key, value: unknown) =>
        typeof value === 'bigint' ? String(value) : value,
      );
      expect(told).toContain(taskId);
      for (const text of [told, await written()]) {
        expect(text).not.toContain(secrets.query);
        expect(text).not.toContain(secrets.header);
      }
    },
  );

  test('is refused in the address itself, where it would be told, and not repeated', async () => {
    const failure = await failureOf(importFrom(ann, `http://ann:${secrets.password}@127.0.0.1/x`));
    expect(failure.reason).toBe('FIELD_INVALID');
    expect(JSON.stringify(failure)).not.toContain(secrets.password);
    expect(await written()).not.toContain(secrets.password);
  });

  test('nor is the token of who calls anywhere, in whatever way the call fails', async () => {
    const token = ann.headers['authorization']!.slice('Bearer '.length);
    const { imageId } = await activeImage(ann, randomBytes(100));
    for (const [path, headers] of [
      [`/v2/images/${imageId}/file`, {}],
      [`/v2/images/${imageId}?token=${token}`, {}],
      ['/v2/nothing', {}],
      ['/v2/tasks', { 'x-auth-token': `${token}x`, authorization: '' }],
      ['/v2/tasks', { authorization: `Basic ${token}` }],
    ] as const) {
      const { body } = await ann.rest('GET', path, { headers });
      if (!path.includes('/file')) {
        expect(body.toString()).not.toContain(token);
      }
    }
    await failureOf(
      ann.images.createImage({
        image: disk('x'.repeat(256)),
        source: { case: 'upload', value: {} },
      }),
    );
    expect(await written()).not.toContain(token);
    for (const entry of await readdir(cloud.service.dataDir, { recursive: true })) {
      const bytes = await readFile(join(cloud.service.dataDir, entry)).catch(() => Buffer.alloc(0));
      expect(bytes.includes(token)).toBe(false);
    }
  });
});

/**
 * OSSA-2015-009 (CVE-2015-3988), OSSA-2016-010 (CVE-2016-4428): names and properties of images were scripts in a page. What this
 * service answers is data to a browser, and never a page.
 */
describe('what a name or an image holds is never a page', () => {
  const script = '<script>alert(document.domain)</script>{{constructor.constructor("x")()}}';

  test('every answer over plain HTTP says of what kind it is, and that nobody guesses another', async () => {
    const { imageId, taskId } = await activeImage(ann, Buffer.from(`a disk ${script}`), {
      name: script,
      tags: [script],
      properties: { [script]: script },
    });
    for (const path of [
      `/v2/images/${imageId}`,
      `/v2/images/${imageId}/tasks`,
      `/v2/tasks/${taskId}`,
      '/v2/tasks',
      `/v2/images/${encodeURIComponent(script)}`,
      `/v2/tasks/${encodeURIComponent(script)}/file`,
      `/${encodeURIComponent(script)}`,
      `/v2/tasks?sort_key=${encodeURIComponent(script)}`,
      '/healthz',
      '/readyz',
    ]) {
      const { headers, status } = await ann.rest('GET', path);
      expect([path, status, headers.get('x-content-type-options')]).toEqual([
        path,
        status,
        'nosniff',
      ]);
      expect(headers.get('content-type')).toMatch(/^(?:application\/json|text\/plain)/);
    }
    const { headers } = await ann.rest('GET', `/v2/images/${imageId}/file`);
    expect(headers.get('content-type')).toBe('application/octet-stream');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-disposition')).toBe('attachment');
  });

  test('nor is what Connect answers', async () => {
    const { url } = cloud.service.process;
    const answer = await fetch(`${url}/darkroom.v1.ImageService/GetImage`, {
      method: 'POST',
      headers: { ...ann.headers, 'content-type': 'application/json' },
      body: JSON.stringify({ imageId: script }),
    });
    expect(answer.status).toBe(400);
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
  });
});

/** All that the service has written down: the log, the audit log, and the rows. */
async function written(): Promise<string> {
  const audit = await readFile(auditFile, 'utf8');
  expect(audit).toContain('"call"');
  return [cloud.service.process.output(), audit, await allRows()].join('\n');
}

/** Each row of each table as text. */
async function allRows(): Promise<string> {
  const client = new pg.Client({ connectionString: cloud.service.databaseUrl });
  await client.connect();
  onTestFinished(() => client.end());
  const { rows: tables } = await client.query<{ name: string }>(
    `select table_name as name from information_schema.tables
      where table_schema = 'public' and table_type = 'BASE TABLE'`,
  );
  let all = '';
  for (const { name } of tables) {
    const { rows } = await client.query<{ row: string }>(
      `select "${name}"::text as row from "${name}"`,
    );
    all += rows.map(({ row }) => row).join('\n');
  }
  return all;
}
