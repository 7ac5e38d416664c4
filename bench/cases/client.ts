import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomFillSync } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { BenchOptions } from '../command-line.ts';
import type { ClientLoad, ClientRoad } from '../load/client-load.ts';
import { Measurements } from '../measurements.ts';
import { costOf } from '../stage/cpu-watch.ts';
import { memoryOf, resetPeak } from '../stage/process-usage.ts';
import { startPostgres } from '../stage/postgres.ts';
import { startScript } from '../stage/script.ts';
import { startService } from '../stage/service.ts';
import { keepTrackOf, type Stage } from '../stage/stage.ts';
import { createUpload, imageClient } from './images.ts';
import { sha256OfFile } from './kept-bytes.ts';
import { makeFile } from './put-targets.ts';
import { descriptors, pythonWithGrpc } from './upload-targets.ts';

const MiB = 1024 * 1024;

const rate = { name: 'MiB/s', digits: 0 };
const loadCpu = { name: 'client CPU s/GiB', digits: 2 };
const memory = { name: 'client peak RSS MiB', digits: 0 };

/** Who uploads the file. */
interface Uploader {
  readonly name: string;
  readonly pid: number;
  upload(): Promise<{
    readonly seconds: number;
    readonly sha256: string;
    readonly imageId: string;
  }>;
}

/**
 * Measures uploads of a file by the client library, over each transport, and by a plain program on gRPC's C core.
 *
 * @throws where the service keeps another image than was sent.
 */
export async function benchClient(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const postgres = await startPostgres(stage);
  const { profileFolder, mib } = options;
  const service = await startService(stage, { databaseUrl: postgres.url, profileFolder });
  const images = imageClient(service.url);
  const path = join(stage.folder, 'disk.raw');
  await makeFile(path, randomFillSync(Buffer.alloc(64 * MiB)), mib * MiB);
  const sent = await sha256OfFile(path);
  const uploaders = [
    libraryUploader(stage, service.url, path, 'connect-node'),
    libraryUploader(stage, service.url, path, 'grpc-js'),
    ...(await cCoreUploader(stage, service.url, path, () => createUpload(images))),
  ];
  const measurements = new Measurements('client');
  const name = `one file of ${mib} MiB`;

  // The first round compiles code, and touches memory and page cache that the machine has yet to give.
  for (let round = -1; round < options.runs; round += 1) {
    // Each is first as often as last.
    for (const uploader of round % 2 === 0 ? uploaders : uploaders.toReversed()) {
      await resetPeak(uploader.pid);
      const pids = { server: service.pid, postgres: postgres.pid, load: uploader.pid };
      const { result, load } = await costOf(pids, () => uploader.upload());
      if (result.sha256 !== sent) {
        throw new Error(`of ${uploader.name} ${result.sha256} is kept, and ${sent} was sent`);
      }
      if (round >= 0) {
        measurements.add(name, uploader.name, rate, mib / result.seconds);
        measurements.add(name, uploader.name, loadCpu, load / (mib / 1024));
        measurements.add(name, uploader.name, memory, (await memoryOf(uploader.pid)).peak / MiB);
      }
      await images.deleteImage({ imageId: result.imageId });
    }
  }
  return measurements;
}

function libraryUploader(stage: Stage, url: string, path: string, road: ClientRoad): Uploader {
  const script = new URL('../load/client-load.ts', import.meta.url);
  const load = startScript<ClientLoad>(stage, script);
  return {
    name: `darkroom/client, ${road}`,
    pid: load.pid,
    upload: () => load.ask('upload', { url, path, road }),
  };
}

const program = fileURLToPath(new URL('../peers/c-core-client.py', import.meta.url));

/** None where Python has no gRPC. */
async function cCoreUploader(
  stage: Stage,
  url: string,
  path: string,
  newUpload: () => Promise<{ readonly imageId: string; readonly taskId: string }>,
): Promise<readonly Uploader[]> {
  const python = await pythonWithGrpc();
  if (python === undefined) {
    return [];
  }
  const child = spawn(python, [program, descriptors, new URL(url).host, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  });
  keepTrackOf(child);
  const exited = once(child, 'exit');
  stage.defer(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const lines = createInterface({ input: child.stdout });
  return [
    {
      name: 'Python on the C core',
      pid: child.pid ?? 0,
      async upload() {
        const { imageId, taskId } = await newUpload();
        const answered = once(lines, 'line');
        child.stdin.write(`${taskId}\n`);
        const failed = exited.then(() =>
          Promise.reject(new Error('the client in Python has ended')),
        );
        const [line] = (await Promise.race([answered, failed])) as [string];
        const [seconds = '', sha256 = ''] = line.split(' ');
        return { seconds: Number(seconds), sha256, imageId };
      },
    },
  ];
}
