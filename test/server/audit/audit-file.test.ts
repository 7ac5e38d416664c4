import { mkdir, mkdtemp, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { AuditFile, AuditFileError } from '../../../src/server/audit/audit-file.ts';
import { patience } from '../../support/held-upload.ts';
import { repository } from '../../support/service-process.ts';

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'darkroom-audit-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

function open(path: string, log: string[] = []): AuditFile {
  const file = new AuditFile(path, pino({}, { write: (line: string) => log.push(line) }));
  onTestFinished(() => file.close());
  return file;
}

async function lines(path: string): Promise<string[]> {
  return (await readFile(path, 'utf8')).split('\n').slice(0, -1);
}

test('a line is in the file when it was added, and only its owner and group may read it', async () => {
  const path = join(await folder(), 'audit.jsonl');
  const file = open(path);
  file.add('one');
  file.add('two');
  expect(await lines(path)).toEqual(['one', 'two']);
  expect((await stat(path)).mode & 0o007).toBe(0);
  open(path).add('three');
  expect(await lines(path)).toEqual(['one', 'two', 'three']);
});

test('where the file was moved or removed a new one is begun', async () => {
  const path = join(await folder(), 'audit.jsonl');
  const file = open(path);
  file.add('before');
  await rename(path, `${path}.1`);
  await expect
    .poll(async () => {
      file.add('after');
      return (await lines(path).catch(() => [])).length;
    }, patience)
    .toBeGreaterThan(0);
  const old = await lines(`${path}.1`);
  expect(old[0]).toBe('before');
  await rm(path);
  await expect
    .poll(async () => {
      file.add('again');
      return lines(path).catch(() => []);
    }, patience)
    .toContain('again');
});

test('lines that cannot be written are counted and told of, and the caller goes on', () => {
  const log: string[] = [];
  const file = open('/dev/full', log);
  file.add('one');
  file.add('two');
  expect(log).toHaveLength(1);
  expect(JSON.parse(log[0]!)).toMatchObject({ level: 50, path: '/dev/full', lost: 1 });
});

test('a file says itself how many lines are missing in it, once it can be written again', async () => {
  const path = join(await folder(), 'audit.jsonl');
  const file = open(path);
  file.add('one');
  // A folder in its place: a new file cannot be begun.
  await rename(path, `${path}.1`);
  await mkdir(path);
  let added = 1;
  await expect
    .poll(async () => {
      file.add('more');
      added += 1;
      return (await lines(`${path}.1`)).length < added;
    }, patience)
    .toBe(true);
  await rmdir(path);
  file.add('last');
  const [last, loss] = await lines(path);
  expect(last).toBe('last');
  const { lost } = JSON.parse(loss!) as { lost: number };
  expect((await lines(`${path}.1`)).length + lost).toBe(added);
});

test('a path that cannot be opened is refused, with what to do', async () => {
  const path = join(await folder(), 'nowhere', 'audit.jsonl');
  expect(() => open(path)).toThrow(AuditFileError);
  expect(() => open(path)).toThrow(/DARKROOM_AUDIT_FILE/);
});

test('several processes add to one file, and no line is torn', async () => {
  const path = join(await folder(), 'audit.jsonl');
  const script = `
    import { AuditFile } from ${JSON.stringify(join(repository, 'src/server/audit/audit-file.ts'))};
    const file = new AuditFile(process.argv[1], { error() { process.exitCode = 1; } });
    for (let n = 0; n < 3000; n += 1) file.add(JSON.stringify({ from: process.pid, n, more: 'x'.repeat(n % 900) }));
    file.close();`;
  const writers = Array.from({ length: 3 }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', script, path], { stdio: 'inherit' }),
  );
  expect(await Promise.all(writers.map((writer) => once(writer, 'exit')))).toEqual(
    writers.map(() => [0, null]),
  );
  const all = (await lines(path)).map((line) => JSON.parse(line) as { from: number; n: number });
  expect(all).toHaveLength(9000);
  for (const writer of writers) {
    const own = all.filter(({ from }) => from === writer.pid).map(({ n }) => n);
    expect(own).toEqual(Array.from({ length: 3000 }, (_, n) => n));
  }
});
