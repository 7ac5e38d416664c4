import { randomFillSync } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { BaselineFileServer } from '../baseline-file-server.ts';
import type { BenchOptions } from '../command-line.ts';
import type { DownloadLoad, DownloadResult } from '../load/download-load.ts';
import type { UploadLoad } from '../load/upload-load.ts';
import { baseline, Measurements } from '../measurements.ts';
import { costOf } from '../stage/cpu-watch.ts';
import { startPostgres } from '../stage/postgres.ts';
import { memoryOf, resetPeak } from '../stage/process-usage.ts';
import { startScript } from '../stage/script.ts';
import { startService } from '../stage/service.ts';
import type { Stage } from '../stage/stage.ts';
import { createUpload, imageClient } from './images.ts';

const MiB = 1024 * 1024;

const rate = { name: 'MiB/s', digits: 0 };
const cpu = { name: 'server CPU s/GiB', digits: 2 };
const loadCpu = { name: 'client CPU s/GiB', digits: 2 };
const memory = { name: 'peak RSS MiB', digits: 0 };

/** Measures a download against a plain HTTP server. The bytes are in the page cache of both. */
export async function benchDownload(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const { mib } = options;
  const postgres = await startPostgres(stage);
  const service = await startService(stage, {
    databaseUrl: postgres.url,
    profileFolder: options.profileFolder,
  });
  const imageId = await uploadImage(stage, service.url, mib * MiB);
  const server = startScript<BaselineFileServer>(
    stage,
    new URL('../baseline-file-server.ts', import.meta.url),
  );
  const file = join(stage.folder, 'file');
  await writeRandomFile(file, mib);
  const fileUrl = await server.ask('listen', { file });
  const load = startScript<DownloadLoad>(
    stage,
    new URL('../load/download-load.ts', import.meta.url),
  );

  const subjects: readonly {
    readonly name: string;
    readonly pid: number;
    download(): Promise<DownloadResult>;
  }[] = [
    {
      name: 'Darkroom',
      pid: service.pid,
      download: () => load.ask('downloadImage', { url: service.url, imageId }),
    },
    {
      name: baseline,
      pid: server.pid,
      download: () => load.ask('downloadFile', { url: fileUrl }),
    },
  ];
  const name = `one stream of ${mib} MiB`;
  const gib = mib / 1024;
  const measurements = new Measurements('download');
  // The first round warms up what is measured.
  for (let round = -1; round < options.runs; round += 1) {
    for (const subject of round % 2 === 0 ? subjects : subjects.toReversed()) {
      await resetPeak(subject.pid);
      const cost = await costOf({ server: subject.pid, load: load.pid }, () => subject.download());
      const { bytes, seconds } = cost.result;
      if (bytes < mib * MiB) {
        throw new Error(`${subject.name} gave ${bytes} bytes of ${mib} MiB`);
      }
      if (round >= 0) {
        measurements.add(name, subject.name, rate, mib / seconds);
        measurements.add(name, subject.name, cpu, cost.server / gib);
        measurements.add(name, subject.name, loadCpu, cost.load / gib);
        measurements.add(name, subject.name, memory, (await memoryOf(subject.pid)).peak / MiB);
      }
    }
  }
  return measurements;
}

async function uploadImage(stage: Stage, url: string, bytesEach: number): Promise<string> {
  const load = startScript<UploadLoad>(stage, new URL('../load/upload-load.ts', import.meta.url));
  const { imageId, taskId } = await createUpload(imageClient(url));
  await load.ask('upload', {
    url,
    taskIds: [taskId],
    bytesEach,
    chunkBytes: MiB,
    content: 'random',
  });
  await load.stop();
  return imageId;
}

async function writeRandomFile(path: string, mib: number): Promise<void> {
  const content = randomFillSync(Buffer.alloc(MiB));
  await using file = await open(path, 'w');
  for (let i = 0; i < mib; i += 1) {
    await file.writeFile(content);
  }
  await file.datasync();
}
