import { setTimeout as delay } from 'node:timers/promises';
import type { BenchOptions } from '../command-line.ts';
import type { DownloadLoad } from '../load/download-load.ts';
import type { UploadLoad } from '../load/upload-load.ts';
import type { WatchLoad } from '../load/watch-load.ts';
import { Measurements, type Metric } from '../measurements.ts';
import { seedWatchedTasks } from '../seed/watched-tasks.ts';
import { costOf } from '../stage/cpu-watch.ts';
import { memoryMapOf, type MemoryMap } from '../stage/memory-map.ts';
import { startPostgres, type BenchPostgres } from '../stage/postgres.ts';
import { memoryOf, processesOf } from '../stage/process-usage.ts';
import { startScript } from '../stage/script.ts';
import { startService, type BenchService } from '../stage/service.ts';
import type { Stage } from '../stage/stage.ts';
import { createUpload, imageClient } from './images.ts';
import { sha256OfUrl } from './kept-bytes.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const largeUploads = 16;
const smallUploads = 64;
const smallBytes = 64 * KiB;
const watchers = 1000;
const downloads = 4;
/** How long a process is let alone after its start, in ms. */
const settleMs = 3000;

const atStart = { name: 'RSS MiB after its start', digits: 0, isDrawn: true };
const peak = { name: 'peak RSS MiB', digits: 0, isDrawn: true };
const atRest = { name: 'RSS MiB at rest', digits: 0, isDrawn: true };
const files = { name: 'of it programs', digits: 0 };
const malloc = { name: 'of it malloc', digits: 0 };
const anonymous = { name: 'of it mapped memory', digits: 0 };
const rate = { name: 'uploads, MiB/s', digits: 0 };
const uploadCpu = { name: 'uploads, server CPU s/GiB', digits: 2 };
const downloadCpu = { name: 'downloads, server CPU s/GiB', digits: 2 };

/**
 * Measures what processes of the service hold when all has been asked of them and all has ended: many large uploads at once,
 * small ones, watchers, downloads. PostgreSQL is not counted.
 *
 * @throws where an image is another than was sent.
 */
export async function benchRest(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const postgres = await startPostgres(stage);
  const measurements = new Measurements('rest');
  for (let round = 0; round < options.runs; round += 1) {
    for (const processes of [1, 2]) {
      const name = processes === 1 ? 'one process' : `${processes} processes`;
      if (options.wants(name)) {
        await measureRest(stage, postgres, processes, options, (...measured) =>
          measurements.add(name, ...measured),
        );
      }
    }
  }
  return measurements;
}

async function measureRest(
  stage: Stage,
  postgres: BenchPostgres,
  processes: number,
  { mib, restSeconds, profileFolder }: BenchOptions,
  add: (subject: string, metric: Metric, value: number) => void,
): Promise<void> {
  const service = await startService(stage, {
    databaseUrl: postgres.url,
    profileFolder,
    env: { DARKROOM_PROCESSES: String(processes) },
  });
  await delay(settleMs);
  const pids = await processesOf(service.pid);
  const subjects = pids.map((pid, index) => ({ pid, subject: nameOf(index, pids.length) }));
  for (const { pid, subject } of subjects) {
    add(subject, atStart, (await memoryOf(pid)).resident / MiB);
  }
  const each = Math.max(1, Math.floor((4 * mib) / largeUploads)) * MiB;
  const work = await workEverything(stage, service, postgres, each);
  add('the service', rate, work.mibPerSecond);
  add('the service', uploadCpu, work.uploadCpu);
  add('the service', downloadCpu, work.downloadCpu);
  await delay(restSeconds * 1000);
  for (const { pid, subject } of subjects) {
    const memory = await memoryOf(pid);
    const map = await memoryMapOf(pid);
    assertAllFound(memory.resident, map);
    add(subject, peak, memory.peak / MiB);
    add(subject, atRest, memory.resident / MiB);
    add(subject, files, map.files / MiB);
    add(subject, malloc, map.malloc / MiB);
    add(subject, anonymous, map.anonymous / MiB);
  }
  await service.stop();
}

/** Of several processes the first one takes the connections, and the others serve. */
function nameOf(index: number, count: number): string {
  return count === 1 ? 'the process' : index === 0 ? 'the first process' : `process ${index}`;
}

/** What large uploads and downloads took. */
interface LargeWork {
  readonly mibPerSecond: number;
  /** Of all processes, in s/GiB. */
  readonly uploadCpu: number;
  readonly downloadCpu: number;
}

/** Asks a service for all that is asked of services. */
async function workEverything(
  stage: Stage,
  { url, pid }: BenchService,
  postgres: BenchPostgres,
  each: number,
): Promise<LargeWork> {
  const images = imageClient(url);
  const load = startScript<UploadLoad>(stage, new URL('../load/upload-load.ts', import.meta.url));
  const upload = async (
    count: number,
    bytesEach: number,
  ): Promise<{
    readonly seconds: number;
    readonly cpu: number;
    readonly imageIds: readonly string[];
  }> => {
    const made = [];
    for (let i = 0; i < count; i += 1) {
      made.push(await createUpload(images));
    }
    const taskIds = made.map(({ taskId }) => taskId);
    const order = { bytesEach, content: 'random' } as const;
    const { result, server } = await costOf({ server: pid, load: load.pid }, () =>
      load.ask('upload', { ...order, url, taskIds, chunkBytes: MiB }),
    );
    assertSame(await load.ask('sha256', order), result.sha256);
    return { seconds: result.seconds, cpu: server, imageIds: made.map(({ imageId }) => imageId) };
  };
  const large = await upload(largeUploads, each);
  const small = await upload(smallUploads, smallBytes);

  const watching = startScript<WatchLoad>(stage, new URL('../load/watch-load.ts', import.meta.url));
  await watching.ask('watch', { url, taskIds: await seedWatchedTasks(postgres.url, watchers) });

  const reading = startScript<DownloadLoad>(
    stage,
    new URL('../load/download-load.ts', import.meta.url),
  );
  const some = large.imageIds.slice(0, downloads);
  const downloadAll = async (): Promise<void> => {
    for (const download of [
      (imageId: string) => reading.ask('downloadImage', { url, imageId }),
      (imageId: string) => reading.ask('downloadFile', { url: `${url}/v2/images/${imageId}/file` }),
    ]) {
      const results = await Promise.all(some.map(download));
      if (results.some(({ bytes }) => bytes < each)) {
        throw new Error(`a download gave fewer bytes than the ${each} of its image`);
      }
    }
  };
  const downloaded = await costOf({ server: pid, load: reading.pid }, downloadAll);
  const sent = await load.ask('sha256', { bytesEach: each, content: 'random' });
  assertSame(sent, await sha256OfUrl(`${url}/v2/images/${some[0] ?? ''}/file`));

  const ended = await watching.ask('ended', null);
  if (ended > 0) {
    throw new Error(`${ended} watches have ended`);
  }
  await Promise.all([load.stop(), watching.stop(), reading.stop()]);
  for (const imageId of [...large.imageIds, ...small.imageIds]) {
    await images.deleteImage({ imageId });
  }
  const gib = each / (1024 * MiB);
  return {
    mibPerSecond: (largeUploads * gib * 1024) / large.seconds,
    uploadCpu: large.cpu / (largeUploads * gib),
    downloadCpu: downloaded.server / (2 * downloads * gib),
  };
}

/** A little comes and goes between two looks. */
function assertAllFound(resident: number, map: MemoryMap): void {
  const found = map.files + map.malloc + map.anonymous;
  if (Math.abs(found - resident) > resident / 20) {
    throw new Error(`of ${resident} bytes that are resident the map of memory has ${found}`);
  }
}

function assertSame(sent: string, got: string): void {
  if (sent !== got) {
    throw new Error(`an image is ${got}, and ${sent} was sent`);
  }
}
