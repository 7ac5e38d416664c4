import { createHash, randomFillSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchOptions } from '../command-line.ts';
import type { UploadLoad } from '../load/upload-load.ts';
import { Measurements } from '../measurements.ts';
import { costOf } from '../stage/cpu-watch.ts';
import { startScript } from '../stage/script.ts';
import type { Stage } from '../stage/stage.ts';
import {
  glanceTarget,
  makeFile,
  nginxTarget,
  type PutFile,
  type PutTarget,
} from './put-targets.ts';
import { baselineTarget, darkroomTarget, type UploadTarget } from './upload-targets.ts';

const MiB = 1024 * 1024;

const rate = { name: 'MiB/s', digits: 0 };
const cpu = { name: 'server CPU s/GiB', digits: 2 };

/** One server, whatever its protocol: uploads once, and answers how many seconds that took. */
interface Peer {
  readonly name: string;
  readonly pid: number;
  readonly upload: () => Promise<number>;
  readonly clear: () => Promise<void>;
}

/**
 * Measures uploads of one image against other services, each in turn in each round: those that are installed. A server that
 * keeps another image than was sent ends the run.
 */
export async function benchPeers(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const load = startScript<UploadLoad>(stage, new URL('../load/upload-load.ts', import.meta.url));
  const bytes = options.mib * MiB;
  const streams = [await darkroomTarget(stage, options.profileFolder), await baselineTarget(stage)];
  const puts = [options.glance && glanceTarget(options.glance), await nginxTarget(stage)].filter(
    (target) => target !== undefined,
  );
  const file = await fileOf(stage, bytes);
  const peers = [
    ...streams.map((target) => streamPeer(target, load, bytes)),
    ...puts.map((target) => putPeer(target, file)),
  ];
  const measurements = new Measurements('peers');
  const name = `one image of ${options.mib} MiB`;

  // The first round compiles code, and touches memory and page cache that the machine has yet to give.
  for (let round = -1; round < options.runs; round += 1) {
    // Each is first as often as last.
    for (const peer of round % 2 === 0 ? peers : peers.toReversed()) {
      const cost = await costOf({ server: peer.pid, load: load.pid }, peer.upload);
      if (round >= 0) {
        measurements.add(name, peer.name, rate, options.mib / cost.result);
        measurements.add(name, peer.name, cpu, (cost.server / bytes) * 1024 * MiB);
      }
      await peer.clear();
    }
  }
  return measurements;
}

function streamPeer(
  target: UploadTarget,
  load: ReturnType<typeof startScript<UploadLoad>>,
  bytesEach: number,
): Peer {
  return {
    name: target.name,
    pid: target.pid,
    async upload() {
      const taskIds = await target.prepare(1);
      const { url } = target;
      const order = { url, taskIds, bytesEach, chunkBytes: MiB, content: 'random' } as const;
      return (await load.ask('upload', order)).seconds;
    },
    clear: () => target.clear(),
  };
}

function putPeer(target: PutTarget, file: PutFile): Peer {
  return {
    name: target.name,
    pid: target.pid,
    upload: () => target.put(file),
    clear: () => Promise.resolve(),
  };
}

async function fileOf(stage: Stage, bytes: number): Promise<PutFile> {
  const path = join(stage.folder, 'image');
  await makeFile(path, randomFillSync(Buffer.alloc(64 * MiB)), bytes);
  const sha512 = createHash('sha512')
    .update(await readFile(path))
    .digest('hex');
  return { path, bytes, sha512 };
}
