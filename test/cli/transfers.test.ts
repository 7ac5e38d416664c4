import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { runProgram } from '../support/programs.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { makeDataDir, repository } from '../support/service-process.ts';
import { darkroomInTerminal, type InTerminal } from './in-terminal.ts';
import { runCli, type CliResult } from './run-cli.ts';

const MiB = 1024 * 1024;

let service: RunningService;
let folder: string;
let environment: Record<string, string>;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService(
    {
      DARKROOM_IMPORT_SPECIAL_ADDRESSES: '127.0.0.1',
      DARKROOM_IMPORT_PORTS: '*',
      DARKROOM_COMMIT_INTERVAL_MS: '50',
    },
    cleanUps.defer,
  );
  return cleanUps.run;
});

beforeEach(async () => {
  const made = await makeDataDir();
  folder = made.path;
  environment = { HOME: folder, DARKROOM_ENDPOINT: service.process.url };
  return made.remove;
});

function darkroom(...args: string[]): Promise<CliResult> {
  return runCli(args, { environment });
}

/** A file of random bytes with a hole in its middle. */
function sparseFile(name: string, mib = 3): { readonly path: string; readonly bytes: Buffer } {
  const part = randomBytes(mib * MiB);
  const bytes = Buffer.concat([part, Buffer.alloc(4 * MiB), part]);
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return { path, bytes };
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** What is kept of uploads that have not ended. */
function records(): string[] {
  const path = join(folder, '.local/state/darkroom/uploads');
  return existsSync(path) ? readdirSync(path) : [];
}

describe('a file', () => {
  test('comes in with its name and format, skips its holes, and comes out the same', async () => {
    const { path, bytes } = sparseFile('round trip.raw');
    const up = await darkroom('upload', path, '--tag', 'a', '--property', 'os=debian');
    expect(up).toMatchObject({ exitCode: 0, errors: '' });
    expect(up.output).toMatch(
      /^round trip is active: 10\.0 MiB, 6\.0 MiB sent in .*4\.0 MiB of holes skipped\./,
    );
    expect(up.output).toContain(sha256(bytes));
    expect(records()).toEqual([]);
    const json = JSON.parse((await darkroom('image', 'round trip', '--json')).output) as unknown;
    expect(json).toMatchObject({
      diskFormat: 'DISK_FORMAT_RAW',
      tags: ['a'],
      properties: { os: 'debian' },
    });

    const target = join(folder, 'out.raw');
    const down = await darkroom('download', 'round trip', '-o', target);
    expect(down).toMatchObject({ exitCode: 0, output: '' });
    expect(readFileSync(target).equals(bytes)).toBe(true);
    expect(await darkroom('download', 'round trip', '-o', target)).toMatchObject({
      exitCode: 5,
      errors: expect.stringContaining('--force'),
    });
    expect(await darkroom('download', 'round trip', '-o', target, '--force')).toMatchObject({
      exitCode: 0,
    });
  });

  test('is told by its first bytes, whatever its name, and unpacked where it is packed', async () => {
    const disk = join(folder, 'cloud.img');
    await runProgram('qemu-img', ['create', '-f', 'qcow2', disk, '1M']);
    const { output } = await darkroom('upload', disk, '--format', '{name} {diskFormat}');
    expect(output).toBe('cloud DISK_FORMAT_QCOW2\n');
    const bytes = Buffer.alloc(100_000, 'packed');
    writeFileSync(join(folder, 'disk.raw'), bytes);
    await runProgram('gzip', ['-k', join(folder, 'disk.raw')]);
    const packed = await darkroom(
      'upload',
      join(folder, 'disk.raw.gz'),
      '--format',
      '{name} {packedFormat} {sha256}',
    );
    expect(packed.output).toBe(`disk gzip ${sha256(bytes)}\n`);
  });

  test('that is of another format than was said fails its task, with what to do, and a code for scripts', async () => {
    const { path } = sparseFile('not-a.qcow2', 1);
    const { exitCode, output, errors } = await darkroom('upload', path);
    expect({ exitCode, output }).toEqual({ exitCode: 7, output: '' });
    expect(errors).toMatch(
      /\(FORMAT_MISMATCH\)\n.*--disk-format.*\nWhat happened: darkroom task 0/,
    );
  });

  test.each([
    [['upload', '/no/such/file'], /cannot be read: ENOENT/],
    [['upload', '/'], /is a folder/],
    [['upload', '/dev/null'], /pipe it in/],
    [['upload', 'FILE', '--size', '7'], /has \d+ bytes, and not 7/],
    [['upload', 'NAMELESS'], /--disk-format raw/],
    [['upload', 'FILE', '--disk-format', 'floppy'], /Allowed choices/],
    [['upload', '-'], /--disk-format raw/],
  ])('that cannot be sent is told, and nothing is made: %j', async (args, message) => {
    const { path } = sparseFile('nothing-is-made.raw', 1);
    writeFileSync(join(folder, 'nameless'), 'x');
    const given = args.map((arg) =>
      arg === 'FILE' ? path : arg === 'NAMELESS' ? join(folder, 'nameless') : arg,
    );
    const { exitCode, output, errors } = await darkroom(...given);
    expect({ exitCode, output }).toEqual({ exitCode: 2, output: '' });
    expect(errors).toMatch(message);
    const { images } = await service.images.listImages({
      filter: { namePrefix: 'nothing-is-made' },
    });
    expect(images).toEqual([]);
  });
});

describe('a pipe', () => {
  const program = [process.execPath, 'src/cli/darkroom.mjs'].join(' ');
  const shell = (script: string) =>
    runProgram('bash', [
      '-c',
      `cd ${repository} && export HOME=${folder} DARKROOM_ENDPOINT=${service.process.url}; ${script}`,
    ]);

  test('goes in and out', async () => {
    const { path, bytes } = sparseFile('piped.raw');
    const up = await shell(
      `cat ${path} | ${program} upload - --name pipe --disk-format raw --json`,
    );
    expect(up.code, up.errors).toBe(0);
    const { id } = JSON.parse(up.output) as { id: string };
    const down = await shell(`${program} download ${id} -o - | sha256sum`);
    expect(down.output).toMatch(new RegExp(`^${sha256(bytes)}  -$`, 'm'));
  });

  test('whose reader has had enough ends without a word', async () => {
    await darkroom('upload', sparseFile('for-head.raw', 8).path);
    const { output, errors } = await shell(
      `${program} download for-head -o - -q | head -c 10 >/dev/null; echo \${PIPESTATUS[0]}`,
    );
    expect({ output: output.trim(), errors }).toEqual({ output: '141', errors: '' });
  });

  test('that is shorter than was said becomes no image', async () => {
    const { code, errors } = await shell(
      `head -c 1000 /dev/urandom | ${program} upload - --name short --disk-format raw --size 2000`,
    );
    expect(code).toBe(7);
    expect(errors).toMatch(/\(SIZE_SHORT\)|2000/);
    const { images } = await service.images.listImages({ filter: { name: 'short' } });
    expect(images[0]?.state).toBe(Image_State.QUEUED);
  });
});

describe.runIf(existsSync('/usr/bin/python3'))('in a terminal', () => {
  /** Slows the upload down, so that there is time to end it. */
  async function begun(path: string, more: readonly string[] = []): Promise<InTerminal> {
    const terminal = darkroomInTerminal(['upload', path, ...more], { environment });
    await expect.poll(() => terminal.screen()).toMatch(/MiB of 2\d\d\.\d MiB, .*\/s/);
    return terminal;
  }

  /** Large enough to be ended in its midst on any machine; most of it lies in the page cache. */
  function largeFile(name: string): { readonly path: string; readonly digest: string } {
    const path = join(folder, name);
    const block = randomBytes(MiB);
    const hash = createHash('sha256');
    const file = Array.from({ length: 200 }, (_, index) => {
      block.writeUInt32LE(index);
      return Buffer.from(block);
    });
    file.forEach((part) => hash.update(part));
    writeFileSync(path, Buffer.concat(file));
    return { path, digest: hash.digest('hex') };
  }

  test('an upload shows a bar; Ctrl-C leaves it resumable and says how; the same command goes on where it was', async () => {
    const { path, digest } = largeFile('ctrl-c.raw');
    const first = await begun(path);
    expect(first.screen()).toMatch(/^ctrl-c +[━─]+ +\d+ % +\d/);
    expect(first.raw()).toContain('\u001B[?25l');
    await expect
      .poll(async () => {
        const { tasks } = await service.tasks.listTasks({
          filter: { states: [Task_State.RUNNING] },
        });
        return Number(tasks[0]?.progress?.bytesDone ?? 0);
      })
      .toBeGreaterThan(0);
    first.type('\u0003');
    expect(await first.exited).toBe(130);
    expect(first.screen()).toMatch(
      /Stopped at \S+ \S+ of 200\.0 MiB, \d+ %\. The service keeps that until \d{4}-/,
    );
    expect(first.screen()).toContain(`darkroom upload ${path}`);
    // The cursor is back.
    expect(first.raw().lastIndexOf('\u001B[?25h')).toBeGreaterThan(
      first.raw().lastIndexOf('\u001B[?25l'),
    );
    expect(records()).toHaveLength(1);
    const [record] = records();
    expect(statSync(join(folder, '.local/state/darkroom/uploads', record!)).mode & 0o777).toBe(
      0o600,
    );

    const second = darkroomInTerminal(['upload', path], { environment });
    expect(await second.exited).toBe(0);
    expect(second.screen()).toMatch(/Going on with what was begun before, from \S+ MiB/);
    expect(second.screen()).toContain(digest);
    expect(records()).toEqual([]);
    const { images } = await service.images.listImages({ filter: { name: 'ctrl-c' } });
    expect(images.map(({ state, sha256: of }) => [state, of])).toEqual([
      [Image_State.ACTIVE, digest],
    ]);
  });

  test('what is just being sent is not begun a second time, and what was cancelled is begun anew', async () => {
    const { path } = largeFile('twice.raw');
    const first = await begun(path);
    expect(await darkroom('upload', path)).toMatchObject({
      exitCode: 5,
      output: '',
      errors: expect.stringMatching(/process \d+ is just sending it: darkroom watch 0/),
    });
    first.type('\u0003');
    expect(await first.exited).toBe(130);
    expect((await darkroom('cancel', 'twice')).exitCode).toBe(0);
    const { exitCode, output } = await darkroom('upload', path, '--format', '{state}');
    expect({ exitCode, output }).toEqual({ exitCode: 0, output: 'STATE_ACTIVE\n' });
    const { images } = await service.images.listImages({ filter: { name: 'twice' } });
    expect(images).toHaveLength(2);
  });

  test('what has failed since it was broken off is retried, from the bytes that are kept', async () => {
    const { path, digest } = largeFile('failed-since.raw');
    const first = await begun(path);
    first.type('\u0003');
    await first.exited;
    const report = [
      '--report',
      'LUNCH_BREAK',
      '--message',
      'nobody sends',
      '--code',
      'unavailable',
    ];
    expect((await darkroom('fault', 'failed-since', ...report)).exitCode).toBe(0);
    const { exitCode, output, errors } = await darkroom('upload', path, '--format', '{sha256}');
    expect({ exitCode, output }).toEqual({ exitCode: 0, output: `${digest}\n` });
    expect(errors).toMatch(/has failed \(LUNCH_BREAK\); this is attempt 2, from /);
    const { images } = await service.images.listImages({ filter: { name: 'failed-since' } });
    expect(images).toHaveLength(1);
  });

  test('a file that has changed since is begun anew', async () => {
    const { path } = largeFile('changed.raw');
    const first = await begun(path);
    first.type('\u0003');
    await first.exited;
    truncateSync(path, 5 * MiB);
    const { exitCode, output } = await darkroom('upload', path, '--format', '{sizeBytes}');
    expect({ exitCode, output }).toEqual({ exitCode: 0, output: `${5 * MiB}\n` });
  });

  test('a service that stops in the midst of it is waited for, and that is said', async () => {
    const { path, digest } = largeFile('restart.raw');
    const own = await startService({ DARKROOM_COMMIT_INTERVAL_MS: '50' });
    const url = own.process.url;
    const of = { ...environment, DARKROOM_ENDPOINT: url };
    const terminal = darkroomInTerminal(['upload', path], { environment: of });
    await expect.poll(() => terminal.screen()).toMatch(/MiB of 200\.0 MiB, .*\/s/);
    await own.process.kill('SIGKILL');
    await expect.poll(() => terminal.screen()).toMatch(/again/);
    await own.another({ DARKROOM_PORT: new URL(url).port });
    expect(await terminal.exited).toBe(0);
    expect(terminal.screen()).toContain(digest);
    expect(terminal.screen()).toMatch(/gone on (once|\d+ times)/);
  });

  test('the bytes of an image are not written to it', async () => {
    await darkroom('upload', sparseFile('to-terminal.raw', 1).path);
    const terminal = darkroomInTerminal(['download', 'to-terminal', '-o', '-'], { environment });
    expect(await terminal.exited).toBe(2);
    expect(terminal.screen()).toContain('not for a terminal');
  });

  test('it is asked before an image is deleted', async () => {
    await darkroom('upload', sparseFile('ask.raw', 1).path);
    const no = darkroomInTerminal(['delete', 'ask'], { environment });
    await expect.poll(() => no.screen()).toMatch(/Delete ask .*\? \[y\/N\]/);
    no.type('\r');
    expect(await no.exited).toBe(1);
    const gone = darkroomInTerminal(['delete', 'ask'], { environment });
    await expect.poll(() => gone.screen()).toContain('[y/N]');
    gone.type('\u0004');
    expect(await gone.exited).toBe(1);
    const yes = darkroomInTerminal(['delete', 'ask'], { environment });
    await expect.poll(() => yes.screen()).toContain('[y/N]');
    yes.type('y\r');
    expect(await yes.exited).toBe(0);
    expect((await darkroom('image', 'ask')).exitCode).toBe(3);
  });

  test('tasks are a live table that changes with them', async () => {
    const { image, task } = await service.images.createImage({
      image: { name: 'live', diskFormat: 1 },
      source: { case: 'upload', value: {} },
    });
    const terminal = darkroomInTerminal(['tasks', '--watch', '--image', image!.id], {
      environment,
    });
    await expect
      .poll(() => terminal.screen())
      .toMatch(/^01\S+ +upload +live +pending +waiting for data/m);
    await expect.poll(() => terminal.screen()).toContain('1 going on, 0 ended');
    await service.tasks.cancelTask({ taskId: task!.id });
    await expect.poll(() => terminal.screen()).toMatch(/^01\S+ +upload +live +cancelled/m);
    expect(terminal.screen()).not.toContain('pending');
    terminal.type('\u0003');
    expect(await terminal.exited).toBe(130);
    expect(terminal.screen()).toMatch(/live +cancelled/);
  });
});

describe('an address', () => {
  async function source(
    answer: (path: string) => { status: number; body: Buffer },
  ): Promise<string> {
    const { onTestFinished } = await import('vitest');
    const server = createServer((request, response) => {
      const { status, body } = answer(request.url ?? '');
      response.writeHead(status, { 'content-length': body.length }).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  test('is fetched by the service and followed to its end', async () => {
    const body = Buffer.alloc(100_000, 'import');
    const url = await source(() => ({ status: 200, body }));
    const { exitCode, output } = await darkroom('upload', `${url}/some%20disk.raw?key=secret`);
    expect(exitCode).toBe(0);
    expect(output).toMatch(/^Done: 97\.7 KiB, image 0/m);
    expect(output).not.toContain('secret');
    expect((await darkroom('image', 'some disk', '--format', '{sha256}')).output).toBe(
      `${sha256(body)}\n`,
    );
  });

  test('that fails is told with its fault and what to do', async () => {
    const url = await source(() => ({ status: 404, body: Buffer.from('no') }));
    const { exitCode, output } = await darkroom('upload', `${url}/gone.raw`);
    expect(exitCode).toBe(7);
    expect(output).toMatch(/SOURCE_HTTP_STATUS; this ended the task/);
    expect(output).toMatch(/Failed with SOURCE_HTTP_STATUS\.\n.*import anew/);
  });

  test('that may not be reached is refused at once', async () => {
    const { exitCode, errors } = await darkroom('upload', 'http://10.0.0.1/disk.raw');
    expect(exitCode).toBe(4);
    expect(errors).toContain('SOURCE_FORBIDDEN');
  });
});

describe('who waits for a task', () => {
  test('learns its end by the exit code', async () => {
    await darkroom('upload', sparseFile('waited.raw', 1).path);
    expect(await darkroom('wait', 'waited')).toMatchObject({ exitCode: 0, errors: '' });
    const make = (name: string) =>
      service.images.createImage({
        image: { name, diskFormat: 1 },
        source: { case: 'upload', value: {} },
      });
    const { task } = await make('waited-for-long');
    expect(await darkroom('wait', task!.id, '--timeout', '1s')).toMatchObject({
      exitCode: 9,
      output: '',
    });
    const waiting = darkroom('wait', task!.id);
    await service.tasks.cancelTask({ taskId: task!.id });
    expect((await waiting).exitCode).toBe(8);
    await make('waited-failing');
    const watching = darkroom('watch', 'waited-failing');
    await darkroom('fault', 'waited-failing', '--report', 'BROKEN', '--message', 'it broke');
    const watched = await watching;
    expect(watched.exitCode).toBe(7);
    expect(watched.output).toMatch(/BROKEN, said its producer; this ended the task\n +it broke/);
  });

  test('has each change as JSON on a line', async () => {
    await darkroom('upload', sparseFile('json-lines.raw', 1).path);
    const { output } = await darkroom('watch', 'json-lines', '--json');
    const states = output
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { state: string }).state);
    expect(states.at(-1)).toBe('STATE_SUCCEEDED');
  });
});
