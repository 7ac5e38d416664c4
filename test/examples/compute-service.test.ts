import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Fault_Origin } from '../../gen/darkroom/v1/fault_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startProgram, type RunningProgram } from '../support/programs.ts';
import { downloadBytes, startService, type RunningService } from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';

describe('the compute service in TypeScript', () => {
  const cleanUps = new CleanUps();
  let service: RunningService;
  let folder: string;

  beforeAll(async () => {
    service = await startService({ DARKROOM_COMMIT_BYTES: '1048576' }, cleanUps.defer);
    const made = await makeDataDir();
    cleanUps.defer(() => made.remove());
    folder = made.path;
    return cleanUps.run;
  });

  function run(disk: string, ...command: readonly string[]): RunningProgram {
    return startProgram('env', [
      `DARKROOM_ENDPOINT=${service.process.url}`,
      process.execPath,
      'examples/compute-service/snapshot.ts',
      '--name=web-1',
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
    const bytes = randomBytes(60_000_000);
    const source = join(folder, 'source.raw');
    await writeFile(source, bytes);
    const disk = join(folder, 'disk.raw');
    const running = run(disk, 'cp', source, disk);
    const { taskId, imageId } = await taskOf(running);
    await expect
      .poll(async () => (await service.tasks.getTask({ taskId })).task?.progress?.bytesDone ?? 0n, {
        interval: 10,
      })
      .toBeGreaterThan(0n);
    await service.process.kill('SIGKILL');
    service = await service.another({ DARKROOM_PORT: new URL(service.process.url).port });
    expect(await running.exited, running.errors()).toBe(0);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(running.lines.at(-1)).toContain(`image ${imageId} has 60000000 bytes, sha256 ${sha256}`);
    expect((await downloadBytes(service.images, imageId)).bytes.equals(bytes)).toBe(true);
    const { task } = await service.tasks.getTask({ taskId });
    expect(task?.labels).toEqual({ instance: '8b3e' });
  });

  test('tells how far its command is, and its fault when it fails', async () => {
    const disk = join(folder, 'failing.raw');
    const gate = join(folder, 'gate');
    const script = `printf half > '${disk}'; until [ -e '${gate}' ]; do sleep 0.05; done; echo 'sector 5 is gone' >&2; exit 3`;
    const running = run(disk, 'sh', '-c', script);
    const { taskId } = await taskOf(running);
    await expect
      .poll(async () => (await service.tasks.getTask({ taskId })).task?.message)
      .toBe('The disk is being copied');
    await writeFile(gate, '');
    expect(await running.exited).toBe(1);
    expect(running.errors()).toBe('SNAPSHOT_COMMAND_FAILED: sh ended with exit code 3.\n');
    const { task } = await service.tasks.getTask({ taskId });
    expect(task).toMatchObject({
      state: Task_State.FAILED,
      lastFault: {
        reason: 'SNAPSHOT_COMMAND_FAILED',
        detail: 'sector 5 is gone\n',
        origin: Fault_Origin.PRODUCER,
        fatal: true,
      },
    });
  });

  test('tells of a command that cannot be run at all', async () => {
    const running = run('none.raw', join(folder, 'no-such-program'));
    const { taskId } = await taskOf(running);
    expect(await running.exited).toBe(1);
    const { task } = await service.tasks.getTask({ taskId });
    expect(task?.lastFault?.message).toContain('could not be run: ');
  });
});
