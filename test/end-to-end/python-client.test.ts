import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { CleanUps } from '../support/clean-ups.ts';
import {
  hasProgram,
  hasPythonModule,
  makeRawImage,
  type DiskImageFile,
} from '../support/disk-images.ts';
import { findFreePort } from '../support/free-port.ts';
import { startProgram, type RunningProgram } from '../support/programs.ts';
import { generateStubs } from '../support/python-stubs.ts';
import { downloadBytes, startService, type RunningService } from '../support/running-service.ts';

const python = '/usr/bin/python3';
const MiB = 1024 * 1024;
const canRun =
  hasProgram('qemu-img', 'qemu-utils') &&
  hasProgram('protoc', 'protobuf-compiler') &&
  hasPythonModule(python, 'grpc', 'python3-grpcio') &&
  hasPythonModule(python, 'google.protobuf', 'python3-protobuf');

/** A line that the client printed. */
type Line = Readonly<Record<string, unknown>>;

interface Client {
  readonly program: RunningProgram;
  lines(): Line[];
  /** All values that the lines have for a key, in order. */
  told(key: string): unknown[];
}

describe.skipIf(!canRun)('a Python client that knows only the protocol and the protos', () => {
  let service: RunningService;
  let disk: DiskImageFile;
  let stubs: string;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    stubs = await mkdtemp(join(tmpdir(), 'darkroom-stubs-'));
    cleanUps.defer(() => rm(stubs, { recursive: true, force: true }));
    disk = await makeRawImage();
    cleanUps.defer(() => disk.remove());
    await generateStubs(stubs);
    // Every test but one leaves the service alone; that one brings it back to the same port.
    const port = await findFreePort();
    service = await startService({ DARKROOM_PORT: String(port) }, cleanUps.defer);
    return cleanUps.run;
  });

  function startClient(name: string, ...options: string[]): Client {
    const target = new URL(service.process.url).host;
    const program = startProgram(python, [
      'test/clients/upload_client.py',
      target,
      stubs,
      disk.path,
      name,
      ...options,
    ]);
    const lines = (): Line[] => program.lines.map((line) => JSON.parse(line) as Line);
    return {
      program,
      lines,
      told: (key) => lines().flatMap((line) => (key in line ? [line[key]] : [])),
    };
  }

  async function expectDone(client: Client): Promise<void> {
    const code = await client.program.exited;
    expect(code, `${client.program.lines.join('\n')}\n${client.program.errors()}`).toBe(0);
    expect(client.told('watched_to_the_end')).toEqual([true]);
    expect(client.told('state').at(-1)).toBe('STATE_SUCCEEDED');
    const [imageId] = client.told('done');
    const downloaded = await downloadBytes(service.images, String(imageId));
    expect(downloaded.sha256).toBe(disk.sha256);
    expect(downloaded.bytes.equals(disk.bytes)).toBe(true);
  }

  test('uploads a real image and watches its task to the end', async () => {
    const client = startClient('whole');
    await expectDone(client);
    expect(client.told('snapshot')).toHaveLength(1);
    expect(client.told('resumed')).toEqual([]);
    const [toldUpTo] = client.told('told_up_to');
    const following = client.told('revision').map((_, i) => Number(toldUpTo) + 1 + i);
    expect(client.told('revision')).toEqual(following);
  });

  test('resumes twice when its streams break, from where the service acknowledged', async () => {
    const breaks = [5 * MiB, 17 * MiB];
    const client = startClient('broken', '--break-at', ...breaks.map(String));
    await expectDone(client);
    expect(client.told('resumed')).toEqual(breaks);
    expect(client.told('epoch')).toEqual([2, 3]);
    expect(client.told('reason').filter((reason) => reason === 'CONNECTION_LOST')).toHaveLength(2);
  });

  test('is told what is wrong with a chunk in the middle of its stream, and stops', async () => {
    const client = startClient('refused', '--chunk', String(5 * MiB));
    expect(await client.program.exited).toBe(1);
    expect(client.told('broken')).toEqual(['RESOURCE_EXHAUSTED']);
    expect(client.told('reason')).toContain('CHUNK_TOO_LARGE');
  });

  test('goes on by itself when the service is killed in the middle and comes back', async () => {
    const client = startClient('survivor', '--hold-at', String(12 * MiB));
    await expect.poll(() => client.told('holding'), { timeout: 30_000 }).toEqual([12 * MiB]);
    const [taskId] = client.told('task');
    await expect
      .poll(async () => (await service.tasks.getTask({ taskId: String(taskId) })).task, {
        timeout: 30_000,
      })
      .toMatchObject({ progress: { bytesDone: BigInt(12 * MiB) } });

    await service.process.kill('SIGKILL');
    service = await service.another();
    await expectDone(client);
    expect(client.told('resumed')).toEqual([12 * MiB]);
    expect(client.told('reason')).toContain('SERVICE_LOST');
  });
});
