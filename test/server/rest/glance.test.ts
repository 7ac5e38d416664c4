import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasProgram } from '../../support/disk-images.ts';
import { runProgram, type ProgramResult } from '../../support/programs.ts';
import { makeTasksOfAllStates, sharedService, type TasksOfAllStates } from './fixtures.ts';

/** OpenStack's own command line, as Debian has it. */
describe.skipIf(!hasProgram('glance', 'python3-glanceclient'))('the glance client', () => {
  const service = sharedService();
  let tasks: TasksOfAllStates;
  /** glance keeps schemas in its user's home folder. */
  let home: string;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'darkroom-glance-'));
    tasks = await makeTasksOfAllStates(service());
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  function glance(...args: readonly string[]): Promise<ProgramResult> {
    const url = `--os-image-url=${service().process.url}`;
    const command = ['glance', url, '--os-auth-token=any', ...args];
    return runProgram('env', [`HOME=${home}`, 'PYTHONWARNINGS=ignore', ...command]);
  }

  /** The rows of the table that it prints, by their first column. */
  async function table(...args: readonly string[]): Promise<Map<string, string[]>> {
    const { code, output, errors } = await glance(...args);
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
    const cells = output
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .map((line) => line.slice(1, -1).split('|'))
      .map((row) => row.map((cell) => cell.trim()));
    return new Map(cells.slice(1).map(([first = '', ...rest]) => [first, rest]));
  }

  test('task-list, without being told a version, shows every task', async () => {
    const rows = [
      [tasks.succeeded.taskId, ['upload', 'success', 'default']],
      [tasks.running.taskId, ['upload', 'processing', 'default']],
      [tasks.pending.taskId, ['snapshot', 'pending', 'default']],
      [tasks.cancelled.taskId, ['upload', 'failure', 'default']],
      [tasks.failed.taskId, ['snapshot', 'failure', 'default']],
    ] as const;
    // Its order is by status, downwards, and then by time.
    expect([...(await table('task-list'))]).toEqual(rows);
    expect([...(await table('task-list', '--page-size', '1'))]).toEqual(rows);
    const filtered = ['--status', 'failure', '--type', 'upload', '--sort-key', 'id'];
    expect([...(await table('task-list', ...filtered)).keys()]).toEqual([tasks.cancelled.taskId]);
  });

  test('task-show tells of each state, and why a task failed', async () => {
    const { imageId } = tasks.pending;
    const pending = await table('--os-image-api-version=2', 'task-show', tasks.pending.taskId);
    expect(Object.fromEntries(pending)).toMatchObject({
      id: [tasks.pending.taskId],
      image_id: [imageId],
      message: [''],
      owner: ['default'],
      request_id: ['request-1'],
      result: ['None'],
      status: ['pending'],
      type: ['snapshot'],
    });
    for (const [task, status, message] of [
      [tasks.running, 'processing', '5 bytes are done'],
      [tasks.succeeded, 'success', ''],
      [tasks.failed, 'failure', 'DISK_READ_FAILED: The disk of the instance could not be read.'],
      [tasks.cancelled, 'failure', 'Cancelled by user default: wrong machine'],
    ] as const) {
      const shown = await table('task-show', task.taskId);
      expect(shown.get('status')).toEqual([status]);
      expect(shown.get('message')).toEqual([message]);
    }
  });

  test('image-tasks shows the tasks of an image', async () => {
    const shown = await table('image-tasks', tasks.failed.imageId);
    expect([...shown]).toEqual([
      [
        'DISK_READ_FAILED: The disk of the instance could not be read.',
        ['failure', expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)],
      ],
    ]);
  });

  test('what is not there is said in words', async () => {
    const missing = await glance('task-show', tasks.failed.imageId);
    expect(missing.errors).toBe(`HTTP There is no task ${tasks.failed.imageId} in this project.\n`);
    const creation = await glance('task-create', '--type', 'import');
    expect(creation.errors).toContain(
      'input.import_from must say where the image is to be fetched from',
    );
    expect([missing.code, creation.code]).toEqual([1, 1]);
  });

  test('the Python library reads the same', async () => {
    const program = `
import json, sys
from glanceclient import Client
client = Client('2', sys.argv[1], token='any')
shown = client.tasks.get(sys.argv[2])
listed = [task['id'] for task in client.tasks.list(sort_key='id', sort_dir='asc', page_size=2)]
print(json.dumps([shown.status, shown.message, len(shown.request_ids), listed]))`;
    const args = ['-W', 'ignore', '-c', program, `${service().process.url}/v2`];
    const { output, errors } = await runProgram('/usr/bin/python3', [...args, tasks.failed.taskId]);
    expect(errors).toBe('');
    expect(JSON.parse(output)).toEqual([
      'failure',
      'DISK_READ_FAILED: The disk of the instance could not be read.',
      1,
      Object.values(tasks).map(({ taskId }) => taskId),
    ]);
  });
});
