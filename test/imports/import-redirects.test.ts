import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { useDatabase } from '../support/test-database.ts';
import { download, readFaults } from '../support/upload-world.ts';
import { ended, openImportWorld } from './import-world.ts';
import {
  serves,
  servesInPieces,
  startRawSource,
  startSource,
  type SourceHandler,
} from './source-server.ts';

const database = useDatabase();
const bytes = randomBytes(1_500_000);

/** Imports from an address that leads to one mirror after the other, until the import has ended. */
async function importFromMirrors(mirrors: readonly (SourceHandler | string)[], stated = {}) {
  const world = await openImportWorld(database());
  const origins: string[] = [];
  for (const mirror of mirrors) {
    const isAddress = typeof mirror === 'string';
    origins.push(isAddress ? mirror : `${(await startSource(mirror)).origin}/mirrored`);
  }
  const first = await startSource((_, response, number) => {
    response.writeHead(302, { location: origins[number - 1] ?? origins.at(-1) }).end();
  });
  const from = { kind: 'url', url: `${first.origin}/disk` } as const;
  const { imageId, taskId } = await world.create({ from, ...stated });
  const task = await ended(database(), taskId);
  const faults = await readFaults(database(), taskId);
  return { world, first, imageId, task, faults };
}

const status =
  (code: number): SourceHandler =>
  (_, response) =>
    response.writeHead(code).end('no');
const redirects =
  (location?: string): SourceHandler =>
  (_, response) =>
    response.writeHead(302, location === undefined ? {} : { location }).end();
describe('what came after a redirect is tried again from the first address', () => {
  test.each<[string, SourceHandler, string]>([
    ['404', status(404), 'SOURCE_HTTP_STATUS'],
    ['403', status(403), 'SOURCE_HTTP_STATUS'],
    ['410', status(410), 'SOURCE_HTTP_STATUS'],
    ['a redirect to nowhere', redirects(), 'SOURCE_REDIRECT_REFUSED'],
    ['a redirect to what is no address', redirects('http://['), 'SOURCE_REDIRECT_REFUSED'],
    ['redirects without end', redirects('/again'), 'SOURCE_REDIRECT_REFUSED'],
    ['a redirect to the metadata', redirects('http://169.254.169.254/'), 'SOURCE_FORBIDDEN'],
    ['a redirect to a file', redirects('file:///etc/passwd'), 'SOURCE_SCHEME_UNSUPPORTED'],
    [
      'an encoding that nobody knows',
      (_, response) => {
        response.writeHead(200, { 'content-encoding': 'lzh' }).end('abc');
      },
      'SOURCE_PROTOCOL_INVALID',
    ],
    ['no bytes', (_, response) => response.writeHead(200).end(), 'SOURCE_EMPTY'],
  ])('%s of one mirror', async (_, mirror, reason) => {
    const { world, first, imageId, task, faults } = await importFromMirrors([
      mirror,
      serves(bytes),
    ]);
    expect(task.state).toBe('SUCCEEDED');
    expect(faults).toMatchObject([{ reason, fatal: false }]);
    expect(faults[0]?.message).toContain(`That is where ${first.origin}/disk led. Try 2 of 3`);
    expect((await download(world, imageId)).equals(bytes)).toBe(true);
  });

  test('a mirror with a wrong certificate', async () => {
    const mirror = await startSource(serves(bytes), { secure: true });
    const { task, faults } = await importFromMirrors([`${mirror.origin}/`, serves(bytes)]);
    expect(task.state).toBe('SUCCEEDED');
    expect(faults).toMatchObject([{ reason: 'SOURCE_TLS_FAILED', fatal: false }]);
  });

  test('a mirror that speaks no HTTP', async () => {
    const mirror = await startRawSource((socket) => {
      socket.once('data', () => socket.end('hello\r\n\r\n'));
    });
    const { task, faults } = await importFromMirrors([`${mirror.origin}/`, serves(bytes)]);
    expect(task.state).toBe('SUCCEEDED');
    expect(faults).toMatchObject([{ reason: 'SOURCE_PROTOCOL_INVALID', fatal: false }]);
  });

  test('a mirror with another image, of which no byte is taken', async () => {
    const { world, imageId, task, faults } = await importFromMirrors([
      servesInPieces(bytes, [800_000]),
      serves(randomBytes(bytes.length), '"two"'),
      serves(bytes),
    ]);
    expect(task.state).toBe('SUCCEEDED');
    expect(faults.map(({ reason }) => reason)).toEqual(['SOURCE_CUT_SHORT', 'SOURCE_CHANGED']);
    expect((await download(world, imageId)).equals(bytes)).toBe(true);
  });

  test('but not more often than an import is tried', async () => {
    const { task, faults, first } = await importFromMirrors([status(404)]);
    expect(task.state).toBe('FAILED');
    expect(faults.map(({ fatal }) => fatal)).toEqual([false, false, true]);
    expect(faults[2]).toMatchObject({ reason: 'SOURCE_HTTP_STATUS', code: 9 });
    expect(first.requests).toHaveLength(3);
  });

  test('and what was stated is held against the first mirror that says otherwise', async () => {
    const { faults } = await importFromMirrors([serves(bytes)], { totalSize: bytes.length + 1 });
    expect(faults).toMatchObject([{ reason: 'SIZE_SHORT', fatal: true }]);
  });
});
