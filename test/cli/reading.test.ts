import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { Code } from '../../gen/google/rpc/code_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startService, uploadFrames, type RunningService } from '../support/running-service.ts';
import { runCli, type CliResult } from './run-cli.ts';

let service: RunningService;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({}, cleanUps.defer);
  return cleanUps.run;
});

function darkroom(...args: string[]): Promise<CliResult> {
  return runCli(args, { environment: { DARKROOM_ENDPOINT: service.process.url, HOME: '/none' } });
}

async function makeImage(name: string): Promise<{ readonly image: string; readonly task: string }> {
  const { image, task } = await service.images.createImage({
    image: { name, diskFormat: Image_DiskFormat.RAW },
    source: { case: 'upload', value: {} },
  });
  return { image: image!.id, task: task!.id };
}

async function uploaded(name: string, size = 5000): Promise<{ image: string; task: string }> {
  const made = await makeImage(name);
  await service.images.uploadImage(uploadFrames(Buffer.alloc(size, 'x'), { taskId: made.task }));
  return made;
}

/** Sends a part, and fails the task as its producer does. */
async function failed(name: string): Promise<{ image: string; task: string }> {
  const made = await makeImage(name);
  const frames = uploadFrames(Buffer.alloc(5000, 'x'), { taskId: made.task, until: 3000 });
  await service.images.uploadImage(frames);
  await service.tasks.reportFault({
    taskId: made.task,
    code: Code.DATA_LOSS,
    reason: 'DISK_UNREADABLE',
    message: 'sda has bad sectors',
    detail: 'EIO at sector 7',
    fatal: true,
  });
  return made;
}

describe('images', () => {
  test('are listed with how it stands with them', async () => {
    await uploaded('list-active');
    await makeImage('list-coming');
    await failed('list-failed');
    const { exitCode, output } = await darkroom('images', 'list-');
    expect(exitCode).toBe(0);
    expect(output).toMatch(/^ID +NAME +STATE +FORMAT +SIZE/);
    expect(output).toMatch(/list-active +active +raw +4\.9 KiB/);
    expect(output).toMatch(/list-coming +coming +raw +-/);
    expect(output).toMatch(/list-failed +not coming .*DISK_UNREADABLE$/m);
    const only = await darkroom('images', 'list-', '--outlook', 'not-coming', '--format', '{name}');
    expect(only.output).toBe('list-failed\n');
  });

  test('are the JSON of the contract for programs, with what is 0 or empty', async () => {
    const { image } = await uploaded('json', 7);
    const { output, errors } = await darkroom('images', 'json', '--json');
    expect(errors).toBe('');
    expect(JSON.parse(output)).toEqual([
      expect.objectContaining({
        id: image,
        name: 'json',
        state: 'STATE_ACTIVE',
        sizeBytes: '7',
        minDiskBytes: '0',
        tags: [],
        protected: false,
      }),
    ]);
    const one = await darkroom('image', 'json', '--json');
    expect(JSON.parse(one.output)).toEqual(JSON.parse(output)[0]);
    expect(JSON.parse((await darkroom('images', 'no-such', '--json')).output)).toEqual([]);
  });

  test('that are more than asked for are told of', async () => {
    await makeImage('limit-1');
    await makeImage('limit-2');
    const { output, errors } = await darkroom(
      'images',
      'limit-',
      '--limit',
      '1',
      '--format',
      '{id}',
    );
    expect(output.trim().split('\n')).toHaveLength(1);
    expect(errors).toContain('There are more');
  });

  test('are told in full, with why they are not coming and what to do', async () => {
    const { image, task } = await failed('whole-story');
    const { output } = await darkroom('image', 'whole-story');
    expect(output).toMatch(/^whole-story: not coming$/m);
    expect(output).toContain(`id          ${image}`);
    expect(output).toContain('DISK_UNREADABLE at 2.9 KiB: sda has bad sectors');
    expect(output).toContain(`darkroom task ${task}`);
  });
});

describe('what is meant', () => {
  test('is found by name, by id, and by every beginning of an id that is long enough to be of one alone', async () => {
    const { image, task } = await uploaded('by-name');
    for (const text of [
      'by-name',
      image,
      image.toUpperCase(),
      image.slice(0, 20),
      image.replaceAll('-', '').slice(0, 18),
    ]) {
      const { exitCode, output } = await darkroom('image', text, '--format', '{id}');
      expect({ text, exitCode, output }).toEqual({ text, exitCode: 0, output: `${image}\n` });
    }
    for (const text of [task, task.slice(0, 20), 'by-name', image]) {
      const { output } = await darkroom('task', text, '--format', '{id}');
      expect({ text, output }).toEqual({ text, output: `${task}\n` });
    }
  });

  test('of a deleted image is found by its id and its beginning, and not by its name', async () => {
    const { image } = await uploaded('to-go');
    expect(await darkroom('delete', 'to-go', '--yes')).toMatchObject({ exitCode: 0 });
    expect((await darkroom('image', 'to-go')).exitCode).toBe(3);
    expect((await darkroom('image', image.slice(0, 20))).output).toMatch(/^to-go: deleted/);
    expect(await darkroom('delete', image, '--yes')).toMatchObject({
      exitCode: 0,
      output: expect.stringContaining('was deleted before'),
    });
  });

  test('where it is more than one is told, and nothing is done', async () => {
    const one = await makeImage('twin');
    const two = await makeImage('twin');
    for (const args of [
      ['image', 'twin'],
      ['delete', 'twin', '--yes'],
      ['task', 'twin'],
    ]) {
      const { exitCode, output, errors } = await darkroom(...args);
      expect({ exitCode, output }).toEqual({ exitCode: 3, output: '' });
      expect(errors).toContain(one.image);
      expect(errors).toContain(two.image);
    }
    // All ids of today begin alike.
    const { exitCode, errors } = await darkroom('image', one.image.slice(0, 4));
    expect(exitCode).toBe(3);
    expect(errors).toContain('more than one image is meant');
  });

  test.each([
    ['image', 'no-such-image'],
    ['image', '00000000'],
    ['image', '01900000-0000-7000-8000-000000000000'],
    ['task', '01900000-0000-7000-8000-000000000000'],
    ['task', '00000000'],
    ['image', ''],
    ['image', 'a\nb'],
    ['cancel', 'no-such-task'],
    ['delete', 'no-such-image', '--yes'],
  ])('and is not there is said: %s %j', async (...args) => {
    const { exitCode, output, errors } = await darkroom(...args);
    expect({ exitCode, output }).toEqual({ exitCode: 3, output: '' });
    expect(errors).toMatch(/^darkroom: there is no (image|task) /);
  });

  test('is found beyond the first page', async () => {
    const { image } = await uploaded('beyond', 1);
    // Of a chosen id the time in it tells nothing.
    const chosen = 'feedbeef-0000-4000-8000-00000000f00d';
    await service.images.createImage({
      image: { name: 'chosen', diskFormat: Image_DiskFormat.RAW },
      source: { case: 'upload', value: {} },
      imageId: chosen,
    });
    expect((await darkroom('image', 'feedbeef', '--format', '{id}')).output).toBe(`${chosen}\n`);
    expect((await darkroom('image', 'beyond', '--format', '{id}')).output).toBe(`${image}\n`);
  });
});

describe('a task', () => {
  test('tells what happened, when, at which byte, and what to do now', async () => {
    const { task, image } = await failed('task-story');
    const { exitCode, output } = await darkroom('task', task);
    expect(exitCode).toBe(0);
    expect(output).toMatch(/^Upload of task-story: failed$/m);
    expect(output).toContain(`image  ${image} task-story`);
    expect(output).toMatch(/ended +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d, after /);
    expect(output).toMatch(/at 0 B +Created for an upload/);
    expect(output).toMatch(/at 2\.9 KiB +DISK_UNREADABLE, said its producer; this ended the task/);
    expect(output).toContain('sda has bad sectors');
    expect(output).toContain('cause: EIO at sector 7');
    expect(output.trimEnd()).toMatch(new RegExp(`darkroom retry ${task}$`));
  });

  test('has all its events for programs', async () => {
    const { task } = await failed('task-json');
    const json = JSON.parse((await darkroom('task', task, '--json')).output) as {
      state: string;
      events: { kind: string }[];
    };
    expect(json.state).toBe('STATE_FAILED');
    expect(json.events.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['KIND_CREATED', 'KIND_FAULT']),
    );
  });

  test('is cancelled with a reason, once, and retried', async () => {
    const { task } = await makeImage('to-cancel');
    const cancelled = await darkroom('cancel', 'to-cancel', '--reason', 'wrong file');
    expect(cancelled).toMatchObject({ exitCode: 0, errors: '' });
    expect((await darkroom('task', task)).output).toContain('wrong file');
    const { output } = await darkroom('retry', 'to-cancel', '--json');
    const retry = JSON.parse(output) as { id: string; attempt: number; retryOf: string };
    expect(retry).toMatchObject({ attempt: 2, retryOf: task });
    expect((await darkroom('task', task)).output).toContain(`darkroom task ${retry.id}`);
  });

  test('that has ended is not cancelled: the service refuses, and says why', async () => {
    await uploaded('ended');
    const { exitCode, output, errors } = await darkroom('cancel', 'ended');
    expect({ exitCode, output }).toEqual({ exitCode: 5, output: '' });
    expect(errors).toContain('(TASK_TERMINAL)');
    expect(errors).not.toMatch(/ {4}at /);
  });
});

describe('tasks', () => {
  test('are listed by state, by their image, and with the names of their images', async () => {
    const { task } = await failed('tasks-failed');
    await uploaded('tasks-done');
    const table = await darkroom('tasks', '--state', 'failed,cancelled', '--since', '1h');
    expect(table.output).toMatch(/upload +tasks-failed +failed .*DISK_UNREADABLE$/m);
    expect(table.output).not.toContain('tasks-done');
    const { output } = await darkroom(
      'tasks',
      '--image',
      'tasks-failed',
      '--format',
      '{id} {state}',
    );
    expect(output).toBe(`${task} STATE_FAILED\n`);
    expect(await darkroom('tasks', '--type', 'snapshot')).toMatchObject({
      exitCode: 0,
      output: '',
      errors: 'There are no such tasks.\n',
    });
  });
});

describe('a fault', () => {
  test('is reported on a task as its producer, and read in full', async () => {
    const { task } = await makeImage('to-fault');
    const report = ['--report', 'DISK_SLOW', '--message', 'sda is slow', '--survived'];
    expect((await darkroom('fault', 'to-fault', ...report)).output).toMatch(/goes on/);
    const fatal = ['--report', 'DISK_GONE', '--message', 'sda is gone', '--code', 'unavailable'];
    expect((await darkroom('fault', task, ...fatal)).output).toContain(`darkroom retry ${task}`);
    const { output } = await darkroom('fault', 'to-fault');
    expect(output).toMatch(/^DISK_GONE: ended its task;.*^DISK_SLOW: survived;/ms);
    expect(output).toMatch(/noticed by +its producer/);
    const json = await darkroom('fault', 'to-fault', '--format', '{reason} {code} {fatal}');
    expect(json.output).toBe('DISK_GONE UNAVAILABLE true\nDISK_SLOW ABORTED false\n');
    expect((await darkroom('fault', '--limit', '1000')).output).toContain('DISK_GONE');
  });

  test.each([
    [['--message', 'x'], 2, /go with --report/],
    [['--report', 'X'], 2, /--message is missing/],
    [['--report', 'not upper', '--message', 'x'], 5, /FIELD_INVALID[\s\S]* {2}reason /],
    [['--report', 'X', '--message', 'x', '--code', 'ok'], 2, /Allowed choices/],
  ])('that makes no sense is refused: %j', async (args, code, message) => {
    await makeImage('no-fault').catch(() => undefined);
    const { task } = await makeImage('no-fault-2');
    const { exitCode, errors } = await darkroom('fault', task, ...args);
    expect(exitCode).toBe(code);
    expect(errors).toMatch(message);
  });
});

describe('an edit', () => {
  test('adds to tags and properties, and takes away what is said', async () => {
    const { image } = await uploaded('edit-me');
    const edit = (...args: string[]): Promise<CliResult> => darkroom('edit', image, ...args);
    expect(
      await edit('--tag', 'a', '--tag', 'b', '--property', 'os=debian', '--property', 'k=a=b'),
    ).toMatchObject({ exitCode: 0 });
    await edit(
      '--drop-tag',
      'a',
      '--tag',
      'c',
      '--drop-property',
      'os',
      '--protect',
      '--min-disk',
      '20GiB',
    );
    const json = JSON.parse((await darkroom('image', image, '--json')).output) as unknown;
    expect(json).toMatchObject({
      tags: ['b', 'c'],
      properties: { k: 'a=b' },
      protected: true,
      hidden: false,
      minDiskBytes: String(20 * 1024 ** 3),
    });
    const refused = await darkroom('delete', image, '--yes');
    expect(refused).toMatchObject({ exitCode: 5, output: '' });
    expect(refused.errors).toContain('--no-protect');
    await edit('--no-protect', '--name', 'edited');
    expect(await darkroom('delete', 'edited', '--yes')).toMatchObject({ exitCode: 0 });
  });

  test('of nothing, or of what cannot be, is said', async () => {
    const { image } = await makeImage('edit-nothing');
    expect(await darkroom('edit', image)).toMatchObject({ exitCode: 2, output: '' });
    expect(await darkroom('edit', image, '--property', 'os')).toMatchObject({ exitCode: 2 });
    expect(await darkroom('edit', image, '--min-disk', '20 parsecs')).toMatchObject({
      exitCode: 2,
    });
    expect(await darkroom('edit', image, '--deactivate')).toMatchObject({ exitCode: 5 });
  });

  test('that meets another one keeps both', async () => {
    const { image } = await uploaded('edit-race');
    const edits = Array.from({ length: 4 }, (_, n) => darkroom('edit', image, '--tag', `t${n}`));
    const ends = (await Promise.all(edits)).map(({ exitCode }) => exitCode);
    const { output } = await darkroom('image', image, '--json');
    const { tags } = JSON.parse(output) as { tags: string[] };
    // Whoever was refused too often was told so; what was done is there.
    expect(tags).toHaveLength(ends.filter((code) => code === 0).length);
    expect(ends).toEqual([0, 0, 0, 0]);
  });
});

test('without anybody to ask nothing is deleted', async () => {
  const { image } = await uploaded('ask-me');
  expect(await darkroom('delete', 'ask-me')).toMatchObject({
    exitCode: 2,
    output: '',
    errors: expect.stringContaining('--yes'),
  });
  const { image: still } = await service.images.getImage({ imageId: image });
  expect(still!.state).toBe(Image_State.ACTIVE);
});

test('a table fits a terminal, with ids that can be given back', async () => {
  const { image } = await uploaded('narrow');
  const environment = { DARKROOM_ENDPOINT: service.process.url, NO_COLOR: '1' };
  const { output } = await runCli(['images', 'narrow'], { environment, columns: 80 });
  const [, id] = /^(\S+) +narrow +active/m.exec(output)!;
  expect(image.startsWith(id!)).toBe(true);
  expect(id!.length).toBeLessThan(36);
  for (const line of output.split('\n')) {
    expect(line.length).toBeLessThanOrEqual(80);
  }
  expect((await darkroom('image', id!)).exitCode).toBe(0);
});

describe('what cannot be is told in words, with a code for scripts', () => {
  test.each([
    [['imagez'], 2, /unknown command 'imagez'[\s\S]*Did you mean/],
    [['images', '--sort', 'colour'], 2, /Allowed choices/],
    [['images', '--state', 'gone'], 2, /Allowed are queued/],
    [['images', '--limit', '0'], 2, /whole number/],
    [['images', '--json', '--format', '{id}'], 2, /not both/],
    [['images', '--format', '{no.such}'], 2, /there is no \{no\.such\}; there are id,/],
    [['images', '--format', '{name.first}'], 2, /name has no parts/],
    [['images', '--nope'], 2, /unknown option '--nope'/],
    [['image'], 2, /missing required argument 'image'/],
    [['images', '--endpoint', 'images.test'], 2, /--endpoint has to be an address/],
    [['images', '--profile', 'none'], 2, /there is no profile "none"/],
    [
      ['images', '--endpoint', 'http://127.0.0.1:1'],
      6,
      /cannot be called: .*ECONNREFUSED[\s\S]*darkroom doctor/,
    ],
    [[], 2, /Usage: darkroom/],
  ])('%j', async (args, code, message) => {
    const { exitCode, output, errors } = await darkroom(...args);
    expect({ exitCode, output }).toEqual({ exitCode: code, output: '' });
    expect(errors).toMatch(message);
    expect(errors).not.toMatch(/^ +at .*:\d+/m);
  });

  test('help is no failure, and has examples', async () => {
    for (const args of [['--help'], ['help'], ['help', 'images'], ['images', '--help']]) {
      const { exitCode, output, errors } = await darkroom(...args);
      expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: '' });
      expect(output).toContain('Usage: darkroom');
    }
    expect((await darkroom('images', '--help')).output).toContain('Examples:');
  });
});
