import { randomFillSync } from 'node:crypto';
import { join } from 'node:path';
import type { BenchOptions } from '../command-line.ts';
import type { UploadLoad } from '../load/upload-load.ts';
import { Measurements } from '../measurements.ts';
import { costOf } from '../stage/cpu-watch.ts';
import { resetTreePeak, treePeakBytes } from '../stage/process-usage.ts';
import { startScript, type Script } from '../stage/script.ts';
import type { Stage } from '../stage/stage.ts';
import { sha256OfFile } from './kept-bytes.ts';
import { hasLoadProgram, pagesPerSecond, withImages, type PageTarget } from './page-targets.ts';
import {
  darkroomPutTarget,
  glanceCaller,
  glanceTarget,
  makeFile,
  nginxTarget,
  tusTarget,
  type PutFile,
  type PutTarget,
} from './put-targets.ts';
import {
  baselineTarget,
  cCoreTarget,
  darkroomTarget,
  type UploadTarget,
} from './upload-targets.ts';

const MiB = 1024 * 1024;

const rate = { name: 'MiB/s', digits: 0, isDrawn: true };
const cpu = { name: 'server CPU s/GiB', digits: 2, isDrawn: true };
const pages = { name: 'pages/s', digits: 0, isDrawn: true };
const pageCpu = { name: 'server CPU ms a page', digits: 2 };
const memory = { name: 'peak RSS MiB', digits: 0 };

/** One server, whatever its protocol. */
export interface Peer {
  readonly name: string;
  readonly pid: number;
  /** Of what is sent to it. */
  readonly sha256: string;
  readonly upload: () => Promise<PeerOutcome>;
}

interface PeerOutcome {
  readonly seconds: number;
  /** The sha256 of what the server keeps. */
  readonly kept: () => Promise<string>;
  readonly clear: () => Promise<void>;
}

/**
 * Measures uploads of one image, and pages of lists, against other services, each in turn in each round: those that are there.
 *
 * @throws where a server keeps another image than was sent.
 */
export async function benchPeers(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const load = startScript<UploadLoad>(stage, new URL('../load/upload-load.ts', import.meta.url));
  // A process for each core, as it is started, and as the others are.
  const processes = { DARKROOM_PROCESSES: '0' };
  const darkroom = await darkroomTarget(stage, options.profileFolder, processes);
  const peers = await startPeers(stage, options, load, darkroom);
  const measurements = new Measurements('peers');
  const name = `one image of ${options.mib} MiB`;

  // The first round compiles code, and touches memory and page cache that the machine has yet to give.
  for (let round = -1; round < options.runs; round += 1) {
    // Each is first as often as last.
    for (const peer of round % 2 === 0 ? peers : peers.toReversed()) {
      const { seconds, cpuSeconds, peakBytes } = await measurePeer(peer, load.pid);
      if (round >= 0) {
        measurements.add(name, peer.name, rate, options.mib / seconds);
        measurements.add(name, peer.name, cpu, cpuSeconds / (options.mib / 1024));
        measurements.add(name, peer.name, memory, peakBytes / MiB);
      }
    }
  }
  await measurePages(measurements, options, darkroom, load.pid);
  return measurements;
}

/** How long pages are asked for in each round, in seconds. */
const pageSeconds = 3;

/** Measures `GET /v2/images` of services that have some images, where there is another one. */
async function measurePages(
  measurements: Measurements,
  { runs, glance }: BenchOptions,
  darkroom: UploadTarget,
  loadPid: number,
): Promise<void> {
  if (glance === undefined || !(await hasLoadProgram())) {
    return;
  }
  const targets: readonly PageTarget[] = [
    { name: 'Darkroom', url: darkroom.url, pid: darkroom.pid, headers: {} },
    { name: 'Glance', ...glance, headers: glanceCaller },
  ];
  for (const target of targets) {
    await withImages(target, 100, async () => {
      for (let round = -1; round < runs; round += 1) {
        for (const limit of [25, 100]) {
          const { result, server } = await costOf({ server: target.pid, load: loadPid }, () =>
            pagesPerSecond(target, limit, pageSeconds),
          );
          if (round >= 0) {
            const name = `GET /v2/images, pages of ${limit}, 16 callers`;
            measurements.add(name, target.name, pages, result);
            measurements.add(name, target.name, pageCpu, (server / (result * pageSeconds)) * 1000);
          }
        }
      }
    });
  }
}

/**
 * Uploads once to a peer.
 *
 * @throws where it keeps another image than was sent.
 */
export async function measurePeer(
  peer: Peer,
  loadPid: number,
): Promise<{
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}> {
  await resetTreePeak(peer.pid);
  const cost = await costOf({ server: peer.pid, load: loadPid }, peer.upload);
  const peakBytes = await treePeakBytes(peer.pid);
  const { seconds, kept, clear } = cost.result;
  const sha256 = await kept();
  if (sha256 !== peer.sha256) {
    throw new Error(`${peer.name} keeps ${sha256}, and ${peer.sha256} was sent`);
  }
  await clear();
  return { seconds, cpuSeconds: cost.server, peakBytes };
}

async function startPeers(
  stage: Stage,
  { mib, glance, tus, wants }: BenchOptions,
  load: Script<UploadLoad>,
  darkroom: UploadTarget,
): Promise<Peer[]> {
  const order = { bytesEach: mib * MiB, content: 'random' } as const;
  const streams = [darkroom, await baselineTarget(stage), await cCoreTarget(stage)];
  const puts = [
    darkroomPutTarget(darkroom),
    glance && glanceTarget(glance),
    tus === undefined ? undefined : await tusTarget(stage, tus),
    await nginxTarget(stage),
  ];
  const sent = await load.ask('sha256', order);
  const file = await fileOf(stage, mib * MiB);
  const fileSha256 = await sha256OfFile(file.path);
  return [
    ...present(streams).map((target) => streamPeer(target, load, order, sent)),
    ...present(puts).map((target) => putPeer(target, file, fileSha256)),
  ].filter(({ name }) => wants(name));
}

function present<T>(all: readonly (T | undefined)[]): T[] {
  return all.filter((one) => one !== undefined);
}

function streamPeer(
  target: UploadTarget,
  load: Script<UploadLoad>,
  order: { readonly bytesEach: number; readonly content: 'random' },
  sha256: string,
): Peer {
  const { name, pid, url } = target;
  return {
    name,
    pid,
    sha256,
    async upload() {
      const [taskId = ''] = await target.prepare(1);
      const result = await load.ask('upload', {
        ...order,
        url,
        taskIds: [taskId],
        chunkBytes: MiB,
      });
      if (result.sha256 !== sha256) {
        throw new Error(`${name} says that its image is ${result.sha256}, and ${sha256} was sent`);
      }
      return {
        seconds: result.seconds,
        kept: () => target.kept(taskId),
        clear: () => target.clear(),
      };
    },
  };
}

function putPeer(target: PutTarget, file: PutFile, sha256: string): Peer {
  const { name, pid } = target;
  return { name, pid, sha256, upload: () => target.put(file) };
}

async function fileOf(stage: Stage, bytes: number): Promise<PutFile> {
  const path = join(stage.folder, 'image');
  await makeFile(path, randomFillSync(Buffer.alloc(64 * MiB)), bytes);
  return { path, bytes };
}
