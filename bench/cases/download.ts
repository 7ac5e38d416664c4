import { randomFillSync } from 'node:crypto';
import { join } from 'node:path';
import type { BaselineFileServer } from '../baseline-file-server.ts';
import type { BenchOptions } from '../command-line.ts';
import type { DownloadLoad, DownloadResult } from '../load/download-load.ts';
import type { UploadLoad } from '../load/upload-load.ts';
import { baseline, Measurements } from '../measurements.ts';
import { costOf } from '../stage/cpu-watch.ts';
import { startPostgres } from '../stage/postgres.ts';
import { resetTreePeak, treePeakBytes } from '../stage/process-usage.ts';
import { startScript } from '../stage/script.ts';
import { startService } from '../stage/service.ts';
import type { Stage } from '../stage/stage.ts';
import { curlGet } from './curl.ts';
import { createUpload, imageClient } from './images.ts';
import { sha256OfFile, sha256OfUrl } from './kept-bytes.ts';
import {
  darkroomPutTarget,
  glanceTarget,
  makeFile,
  nginxTarget,
  type PutTarget,
} from './put-targets.ts';

const MiB = 1024 * 1024;

const rate = { name: 'MiB/s', digits: 0, isDrawn: true };
const cpu = { name: 'server CPU s/GiB', digits: 2, isDrawn: true };
const memory = { name: 'peak RSS MiB', digits: 0 };
const timesGlance = { name: '× the MiB/s of Glance', digits: 2 };

/** Who gives an image out. */
interface Subject {
  readonly name: string;
  readonly pid: number;
  download(): Promise<DownloadResult>;
}

/**
 * Measures downloads of one image: over gRPC, and by curl from the service, a plain server of Node, a Glance that runs, and an
 * nginx. The bytes are in the page cache of all.
 *
 * @throws where a server gives another image than it was given.
 */
export async function benchDownload(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const { mib, runs } = options;
  const load = startScript<DownloadLoad>(
    stage,
    new URL('../load/download-load.ts', import.meta.url),
  );
  const subjects = await startSubjects(stage, options, (order) => load.ask('downloadImage', order));
  const name = `one stream of ${mib} MiB`;
  const gib = mib / 1024;
  const measurements = new Measurements('download');
  // The first round warms up what is measured.
  for (let round = -1; round < runs; round += 1) {
    const rates = new Map<string, number>();
    for (const subject of round % 2 === 0 ? subjects : subjects.toReversed()) {
      await resetTreePeak(subject.pid);
      const cost = await costOf({ server: subject.pid, load: load.pid }, () => subject.download());
      const { bytes, seconds } = cost.result;
      if (bytes < mib * MiB) {
        throw new Error(`${subject.name} gave ${bytes} bytes of ${mib} MiB`);
      }
      if (round >= 0) {
        rates.set(subject.name, mib / seconds);
        measurements.add(name, subject.name, rate, mib / seconds);
        measurements.add(name, subject.name, cpu, cost.server / gib);
        measurements.add(name, subject.name, memory, (await treePeakBytes(subject.pid)) / MiB);
      }
    }
    const ofGlance = rates.get('Glance');
    for (const [subject, one] of ofGlance === undefined ? [] : rates) {
      if (subject.startsWith('Darkroom')) {
        measurements.add(name, subject, timesGlance, one / (ofGlance ?? Number.NaN));
      }
    }
  }
  return measurements;
}

async function startSubjects(
  stage: Stage,
  { mib, glance, profileFolder }: BenchOptions,
  downloadImage: DownloadLoad['downloadImage'],
): Promise<Subject[]> {
  const postgres = await startPostgres(stage);
  const service = await startService(stage, { databaseUrl: postgres.url, profileFolder });
  const { url, pid } = service;
  const imageId = await uploadImage(stage, url, mib * MiB);

  const path = join(stage.folder, 'file');
  const content = randomFillSync(Buffer.alloc(64 * MiB));
  await makeFile(path, content, mib * MiB);
  const sent = await sha256OfFile(path);
  const server = startScript<BaselineFileServer>(
    stage,
    new URL('../baseline-file-server.ts', import.meta.url),
  );
  const plainUrl = await server.ask('listen', { file: path });
  assertSame(baseline, sent, await sha256OfUrl(plainUrl));

  const fileSubject = async (name: string, target: PutTarget): Promise<Subject> => {
    const outcome = await target.put({ path, bytes: mib * MiB });
    // A Glance outlives the benchmark.
    stage.defer(() => outcome.clear());
    assertSame(name, sent, await outcome.kept());
    const { file } = outcome;
    if (file === undefined) {
      throw new Error(`${name} gives no files out`);
    }
    return { name, pid: target.pid, download: () => curlGet(file) };
  };
  const nginx = await nginxTarget(stage);
  return [
    { name: 'Darkroom', pid, download: () => downloadImage({ url, imageId }) },
    { name: baseline, pid: server.pid, download: () => curlGet({ url: plainUrl }) },
    await fileSubject('Darkroom, GET', darkroomPutTarget(service)),
    ...(glance ? [await fileSubject('Glance', glanceTarget(glance))] : []),
    ...(nginx ? [await fileSubject('nginx', nginx)] : []),
  ];
}

/** Uploads over gRPC, and reads it again once, so that it lies in the page cache. */
async function uploadImage(stage: Stage, url: string, bytesEach: number): Promise<string> {
  const load = startScript<UploadLoad>(stage, new URL('../load/upload-load.ts', import.meta.url));
  const { imageId, taskId } = await createUpload(imageClient(url));
  const order = { bytesEach, content: 'random' } as const;
  const { sha256 } = await load.ask('upload', {
    ...order,
    url,
    taskIds: [taskId],
    chunkBytes: MiB,
  });
  assertSame('Darkroom', await load.ask('sha256', order), sha256);
  assertSame('Darkroom', sha256, await sha256OfUrl(`${url}/v2/images/${imageId}/file`));
  await load.stop();
  return imageId;
}

function assertSame(name: string, sent: string, given: string): void {
  if (sent !== given) {
    throw new Error(`${name} gives ${given}, and ${sent} was sent`);
  }
}
