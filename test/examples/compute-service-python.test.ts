import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { Fault_Origin } from '../../gen/darkroom/v1/fault_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasProgram, hasPythonModule } from '../support/disk-images.ts';
import { runProgram, startProgram, type RunningProgram } from '../support/programs.ts';
import { downloadBytes, startService, type RunningService } from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';

const example = 'examples/compute-service-python';

const python = '/usr/bin/python3';
const canRun =
  hasProgram('protoc', 'protobuf-compiler') &&
  hasPythonModule(python, 'grpc', 'python3-grpcio') &&
  hasPythonModule(python, 'google.protobuf', 'python3-protobuf');

describe.skipIf(!canRun)('the compute service in Python', () => {
  const cleanUps = new CleanUps();
  let service: RunningService;
  let folder: string;

  beforeAll(async () => {
    service = await startService({ DARKROOM_COMMIT_BYTES: '1048576' }, cleanUps.defer);
    const made = await makeDataDir();
    cleanUps.defer(() => made.remove());
    folder = made.path;
    const { code, errors } = await runProgram(`${example}/make-stubs.sh`, [join(folder, 'stubs')]);
    expect(code, errors).toBe(0);
    return cleanUps.run;
  });

  /** Runs the example. */
  function run(disk: string, command: readonly string[], name = 'web-1'): RunningProgram {
    return startProgram('env', [
      `DARKROOM_ENDPOINT=${new URL(service.process.url).host}`,
      `DARKROOM_STUBS=${join(folder, 'stubs')}`,
      python,
      `${example}/snapshot.py`,
      `--name=${name}`,
      '--instance=8b3e',
      disk,
      '--',
      ...command,
    ]);
  }

  async function taskOf(running: RunningProgram): Promise<{ taskId: string; imageId: string }> {
    await expect.poll(() => running.lines[0], { timeout: 30_000 }).toMatch(/^task /);
    const [, taskId = '', imageId = ''] = /^task (\S+) image (\S+)$/.exec(running.lines[0]!) ?? [];
    return { taskId, imageId };
  }

  test('brings a snapshot, over a service that dies in the middle of it', async () => {
    const bytes = randomBytes(40_000_000);
    const source = join(folder, 'source.raw');
    await writeFile(source, bytes);
    const disk = join(folder, 'disk.raw');
    const running = run(disk, ['cp', source, disk]);
    const { taskId, imageId } = await taskOf(running);
    await expect
      .poll(async () => (await service.tasks.getTask({ taskId })).task?.progress?.bytesDone ?? 0n, {
        interval: 20,
      })
      .toBeGreaterThan(0n);
    await service.process.kill('SIGKILL');
    service = await service.another({ DARKROOM_PORT: new URL(service.process.url).port });
    expect(await running.exited, running.errors()).toBe(0);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(running.lines.at(-1)).toBe(`image ${imageId} has 40000000 bytes, sha256 ${sha256}`);
    const revisions = running.lines.slice(1, -1).map((line) => Number(line.split(' ')[0]));
    expect(revisions).toEqual(revisions.map((_, i) => i + revisions[0]!));
    expect(running.lines.at(-2)).toContain('SUCCEEDED');
    expect((await downloadBytes(service.images, imageId)).bytes.equals(bytes)).toBe(true);
    const { task } = await service.tasks.getTask({ taskId });
    expect(task?.labels).toEqual({ instance: '8b3e' });
  });

  test('tells how far its command is while there is no byte yet, and its fault when it fails', async () => {
    const disk = join(folder, 'failing.raw');
    const gate = join(folder, 'gate');
    // Runs until it is let go; a shell's wait for a file is not the test's.
    const script = `printf half > '${disk}'; until [ -e '${gate}' ]; do sleep 0.05; done; echo 'sector 5 is gone' >&2; exit 3`;
    const running = run(disk, ['sh', '-c', script]);
    const { taskId, imageId } = await taskOf(running);
    await expect
      .poll(async () => (await service.tasks.getTask({ taskId })).task?.message)
      .toBe('The disk is being copied');
    await writeFile(gate, '');
    expect(await running.exited, running.errors()).toBe(1);
    expect(running.lines.at(-1)).toMatch(/^\d+ FAILED SNAPSHOT_COMMAND_FAILED$/);
    const { task } = await service.tasks.getTask({ taskId });
    expect(task).toMatchObject({
      state: Task_State.FAILED,
      lastFault: {
        reason: 'SNAPSHOT_COMMAND_FAILED',
        message: 'sh ended with exit code 3.',
        detail: 'sector 5 is gone\n',
        origin: Fault_Origin.PRODUCER,
        fatal: true,
      },
    });
    const { image } = await service.images.getImage({ imageId });
    expect(image?.state).toBe(Image_State.QUEUED);
  });

  test('tells of a command that cannot be run at all, too', async () => {
    const running = run('none.raw', [join(folder, 'no-such-program')]);
    const { taskId } = await taskOf(running);
    expect(await running.exited, running.errors()).toBe(1);
    const { task } = await service.tasks.getTask({ taskId });
    expect(task?.lastFault?.message).toMatch(/could not be run: No such file or directory\.$/);
  });

  test('says in one line why the service refuses it, and leaves', async () => {
    const running = run('none.raw', ['true'], 'a\u202Eb');
    expect(await running.exited).toBe(1);
    expect(running.errors()).toMatch(/^INVALID_ARGUMENT FIELD_INVALID: .*\n$/);
  });
});
