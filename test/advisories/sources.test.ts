import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { serves, startSource } from '../imports/source-server.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { failureOf } from '../support/failures.ts';
import { findFreePort } from '../support/free-port.ts';
import {
  activeImage,
  disk,
  endOf,
  expectNothing,
  importFrom,
  startCloud,
  type Cloud,
  type Person,
} from './cloud.ts';

const cleanUps = new CleanUps();
let cloud: Cloud;
let ann: Person;
/** Of the network that the service stands in: where it may reach nothing. */
let internal: Server & { connections: number };
let internalPort: number;

beforeAll(async () => {
  // Who waited for a connection would wait too long.
  cloud = await startCloud({ DARKROOM_IMPORT_CONNECT_TIMEOUT_MS: '600000' }, cleanUps.defer);
  ann = await cloud.person('garden', 'member');
  const server = Object.assign(
    createServer((socket) => {
      internal.connections += 1;
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\ninternal');
    }),
    { connections: 0 },
  );
  internal = server;
  server.listen(0, '127.0.0.2');
  await once(server, 'listening');
  internalPort = (server.address() as AddressInfo).port;
  cleanUps.defer(async () => {
    server.close();
    await once(server, 'close');
  });
  return cleanUps.run;
});

/** What an import comes to that is refused when it is asked for, or later. */
async function refusalOf(url: string): Promise<{ reason: string | undefined; message: string }> {
  const asked = importFrom(ann, url);
  const made = await asked.catch(() => undefined);
  if (made === undefined) {
    const { reason, message } = await failureOf(asked);
    return { reason, message };
  }
  const { lastFault } = await endOf(ann, made.taskId);
  await expectNothing(ann, made, /./);
  return { reason: lastFault?.reason, message: lastFault?.message ?? '' };
}

/**
 * OSSA-2014-041 (CVE-2014-9493), OSSA-2015-002 (CVE-2015-1195): an image whose location was a file of the service's host was
 * read, and deleted with it. OSSA-2014-012 (CVE-2014-0162): a location was a command. OSSA-2025-001 (CVE-2025-44021): file://
 * once more, elsewhere.
 */
describe('an image cannot have its bytes from where the service itself has rights', () => {
  test.each([
    'file:///etc/passwd',
    'FILE:///etc/passwd',
    'file://localhost/etc/passwd',
    'filesystem:///etc/passwd',
    'swift+config://ref/container/object',
    'swift://user:password@host/container/object',
    's3://key:secret@host/bucket/object',
    'rbd://cluster/pool/image/snapshot',
    'cinder://volume',
    'sheepdog://127.0.0.1:7000:x;touch /tmp/darkroom-was-here',
    'vsphere://host/folder',
    'jar:file:///etc/passwd!/x',
    'ftp://127.0.0.1/x',
    'gopher://127.0.0.1:5432/x',
    'data:text/plain,x',
    '/etc/passwd',
    '../../etc/passwd',
  ])('%s is refused before anything is made', async (url) => {
    const before = await ann.images.listImages({});
    const { reason } = await failureOf(importFrom(ann, url));
    expect(reason).toMatch(/^(?:SOURCE_SCHEME_UNSUPPORTED|SOURCE_FORBIDDEN|FIELD_INVALID)$/);
    expect((await ann.images.listImages({})).images).toHaveLength(before.images.length);
  });

  test('nor be given a location afterwards, by any method of the REST view', async () => {
    const bytes = randomBytes(1000);
    const { imageId } = await activeImage(ann, bytes);
    const patch = JSON.stringify([
      { op: 'add', path: '/locations/-', value: { url: 'file:///etc/passwd', metadata: {} } },
    ]);
    const type = { 'content-type': 'application/openstack-images-v2.1-json-patch' };
    for (const [method, path] of [
      ['PATCH', `/v2/images/${imageId}`],
      ['POST', `/v2/images/${imageId}/locations`],
      ['PUT', `/v2/images/${imageId}/file`],
      ['PUT', `/v2/images/${imageId}/stage`],
      ['POST', `/v2/images/${imageId}/import`],
      ['PUT', `/v1/images/${imageId}`],
    ] as const) {
      const headers = { ...type, 'x-image-meta-location': 'file:///etc/passwd' };
      const { status } = await ann.rest(method, path, { headers, body: patch });
      expect([method, path, status >= 400 && status !== 500]).toEqual([method, path, true]);
    }
    const { body } = await ann.rest('GET', `/v2/images/${imageId}/file`);
    expect(body.equals(bytes)).toBe(true);
  });

  test.each([
    '/v2/images/../../../../etc/passwd/file',
    '/v2/images/..%2f..%2f..%2fetc%2fpasswd/file',
    '/v2/images/%2e%2e%2f%2e%2e%2fsecrets.key/file',
    '/v2/images/....//....//etc/passwd/file',
    '/v2/images/%00/file',
    '/v2/images/file:%2f%2f%2fetc%2fpasswd/file',
  ])('nor be found by a path: %s', async (path) => {
    const { status, body } = await ann.rest('GET', path);
    expect(status).toBe(404);
    expect(body.toString()).not.toContain('root:');
  });
});

/** OSSN-0078 (CVE-2017-7200): what copy_from answered told which ports of the network inside were open. */
describe('an import tells nothing of the network that the service stands in', () => {
  test.each([
    ['an address', (port: number) => `http://127.0.0.2:${port}/x`],
    ['an address of IPv6', (port: number) => `http://[::1]:${port}/x`],
    ['the address of the metadata', (port: number) => `http://169.254.169.254:${port}/x`],
  ])('open and closed ports of %s are answered alike, and none is tried', async (_, urlOf) => {
    const [open, closed] = [internalPort, await findFreePort()];
    const before = internal.connections;
    const answers = await Promise.all([refusalOf(urlOf(open)), refusalOf(urlOf(closed))]);
    const withoutPort = answers.map(({ reason, message }) => [
      reason,
      message.replaceAll(String(open), 'port').replaceAll(String(closed), 'port'),
    ]);
    expect(withoutPort[0]).toEqual(withoutPort[1]);
    expect(withoutPort[0]?.[0]).toBe('SOURCE_FORBIDDEN');
    expect(internal.connections).toBe(before);
  });

  test('open and closed ports of a name that leads inside are answered alike, too', async () => {
    // Of this machine; only 127.0.0.1 may be reached.
    const strict = await startCloud(
      { DARKROOM_IMPORT_SPECIAL_ADDRESSES: '192.0.2.1' },
      onTestFinished,
    );
    ann = await strict.person('garden', 'member');
    onTestFinished(async () => {
      ann = await cloud.person('garden', 'member');
    });
    const listening = await startSource(serves(randomBytes(10)));
    const closed = await findFreePort();
    const answers = await Promise.all([
      refusalOf(`http://localhost:${listening.port}/x`),
      refusalOf(`http://localhost:${closed}/x`),
    ]);
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]?.reason).toBe('SOURCE_FORBIDDEN');
    expect(listening.requests).toEqual([]);
  });
});

/** OSSA-2026-004 (CVE-2026-34881): redirects were followed inside, and addresses in disguise were not known. */
describe('an import is not led inside', () => {
  const disguises = (): string[] => [
    `http://127.0.0.2:${internalPort}/`,
    `http://2130706434:${internalPort}/`,
    `http://0x7f000002:${internalPort}/`,
    `http://0x7f.0.0.2:${internalPort}/`,
    `http://0177.0.0.2:${internalPort}/`,
    `http://127.2:${internalPort}/`,
    `http://127.0.0.2.:${internalPort}/`,
    `http://[::ffff:127.0.0.2]:${internalPort}/`,
    `http://[::ffff:7f00:2]:${internalPort}/`,
    `http://[64:ff9b::7f00:2]:${internalPort}/`,
    `http://①②⑦.0.0.2:${internalPort}/`,
    `http://127%2e0%2e0%2e2:${internalPort}/`,
    `http://ann@127.0.0.2:${internalPort}/`,
    `http://0.0.0.0:${internalPort}/`,
  ];

  test('by a web-download of the REST view', async () => {
    const { image } = await ann.images.createImage({
      image: disk('waiting'),
      source: { case: 'upload', value: {} },
    });
    for (const uri of [...disguises(), 'file:///etc/passwd', 'ftp://127.0.0.1/x']) {
      const { status } = await ann.rest('POST', `/v2/images/${image!.id}/import`, {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ method: { name: 'web-download', uri } }),
      });
      expect([uri, status >= 400 && status < 500]).toEqual([uri, true]);
    }
    expect(internal.connections).toBe(0);
  });

  test('by an address in disguise', async () => {
    for (const url of disguises()) {
      const { reason } = await refusalOf(url);
      expect([url, /^(?:SOURCE_FORBIDDEN|FIELD_INVALID)$/.test(reason ?? '')]).toEqual([url, true]);
    }
    expect(internal.connections).toBe(0);
  });

  test.each([301, 302, 303, 307, 308])('by a redirect with %i', async (status) => {
    let location = '';
    const source = await startSource((_, response) =>
      response.writeHead(status, { location: Buffer.from(location).toString('latin1') }).end(),
    );
    for (const url of [...disguises(), 'file:///etc/passwd', `//127.0.0.2:${internalPort}/`]) {
      location = url;
      const { reason } = await refusalOf(`${source.origin}/moved`);
      expect([url, reason]).toEqual([
        url,
        expect.stringMatching(
          /^(?:SOURCE_FORBIDDEN|SOURCE_SCHEME_UNSUPPORTED|SOURCE_REDIRECT_REFUSED|FIELD_INVALID)$/,
        ),
      ]);
    }
    expect(internal.connections).toBe(0);
  });

  test('by the second of two redirects', async () => {
    const source = await startSource(({ url }, response) => {
      const location = url === '/first' ? '/second' : `http://127.0.0.2:${internalPort}/`;
      response.writeHead(302, { location }).end();
    });
    expect((await refusalOf(`${source.origin}/first`)).reason).toBe('SOURCE_FORBIDDEN');
    expect(internal.connections).toBe(0);
  });

  /** OSSN-0105: the older tasks API imported from where the newer one did not. */
  test('by a task that is asked for in the older way', async () => {
    const body = JSON.stringify({
      type: 'import',
      input: {
        import_from: `http://127.0.0.2:${internalPort}/`,
        import_from_format: 'raw',
        image_properties: { disk_format: 'raw', container_format: 'bare' },
      },
    });
    const headers = { 'content-type': 'application/json' };
    const admin = await cloud.person('garden', 'admin');
    const before = (await admin.tasks.listTasks({})).tasks.length;
    expect((await admin.rest('POST', '/v2/tasks', { headers, body })).status).toBeGreaterThan(400);
    expect((await admin.tasks.listTasks({})).tasks).toHaveLength(before);
    expect(internal.connections).toBe(0);
  });
});

/**
 * OSSA-2013-018 (CVE-2013-4111): certificates were not looked at. OSSA-2024-004 (CVE-2024-47211): what was converted was not
 * held against its digest. OSSN-0061: what was held against it was an MD5.
 */
describe('what comes from a source is what was meant', () => {
  const bytes = randomBytes(100_000);
  const other = randomBytes(100_000);
  const hex = (algorithm: string, data: Uint8Array): string =>
    createHash(algorithm).update(data).digest('hex');

  test('a server whose certificate nobody vouches for is not believed', async () => {
    const source = await startSource(serves(bytes), { secure: true });
    await expectNothing(ann, await importFrom(ann, `${source.origin}/x`), /^SOURCE_TLS_FAILED$/);
    expect(source.requests).toEqual([]);
  });

  test.each([
    ['sha256', 'as it is', false],
    ['sha512', 'as it is', false],
    ['sha256', 'unpacked', true],
    ['sha512', 'unpacked', true],
  ] as const)(
    'bytes of another %s do not become an image, %s',
    async (algorithm, _, decompress) => {
      const sent = (data: Buffer): Buffer => (decompress ? gzipSync(data) : data);
      const good = await startSource(serves(sent(bytes)));
      const bad = await startSource(serves(sent(other)));
      const stated = { decompress, [algorithm]: hex(algorithm, sent(bytes)) };
      const made = await importFrom(ann, `${good.origin}/x`, stated);
      expect((await endOf(ann, made.taskId)).state).toBe(Task_State.SUCCEEDED);
      const { image } = await ann.images.getImage({ imageId: made.imageId });
      expect(image).toMatchObject({ state: Image_State.ACTIVE, sha256: hex('sha256', bytes) });
      await expectNothing(
        ann,
        await importFrom(ann, `${bad.origin}/x`, stated),
        /^DIGEST_MISMATCH$/,
      );
    },
  );

  test('no MD5 is told of an image', async () => {
    const { imageId } = await activeImage(ann, bytes);
    const { body } = await ann.rest('GET', `/v2/images/${imageId}`);
    expect(JSON.parse(body.toString())).toMatchObject({
      checksum: null,
      os_hash_algo: 'sha256',
      os_hash_value: hex('sha256', bytes),
    });
  });
});
