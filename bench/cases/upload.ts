import { setTimeout as delay } from 'node:timers/promises';
import type { BenchOptions } from '../command-line.ts';
import type { UploadLoad, UploadOrder } from '../load/upload-load.ts';
import { Measurements, type Metric } from '../measurements.ts';
import { costOf, type WorkCost } from '../stage/cpu-watch.ts';
import { memoryOf, resetPeak } from '../stage/process-usage.ts';
import { startScript } from '../stage/script.ts';
import type { Stage } from '../stage/stage.ts';
import { baselineTarget, darkroomTarget, type UploadTarget } from './upload-targets.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
/** Uploads at the same time, where there are several. */
const parallel = 16;
/** After an upload its bytes are deleted, and the disk is given a moment to come to rest. */
const restMs = 500;

const rate = { name: 'MiB/s', digits: 0, isDrawn: true };
const cpu = { name: 'server CPU s/GiB', digits: 2, isDrawn: true };
const postgresCpu = { name: 'PostgreSQL CPU s/GiB', digits: 2 };
const loadCpu = { name: 'client CPU s/GiB', digits: 2 };
const memory = { name: 'peak RSS MiB', digits: 0 };

interface UploadCase extends Omit<UploadOrder, 'url' | 'taskIds'> {
  readonly name: string;
  readonly uploads: number;
}

/** Measures uploads against a plain server: rate, CPU time and memory. */
export async function benchUpload(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const load = startScript<UploadLoad>(stage, new URL('../load/upload-load.ts', import.meta.url));
  const targets = [await darkroomTarget(stage, options.profileFolder), await baselineTarget(stage)];
  const cases = uploadCases(options.mib);
  const measurements = new Measurements('upload');

  const upload = async (
    target: UploadTarget,
    { uploads, bytesEach, chunkBytes, content }: UploadCase,
  ): Promise<WorkCost<{ readonly seconds: number; readonly sha256: string }>> => {
    const taskIds = await target.prepare(uploads);
    await resetPeak(target.pid);
    const pids = { server: target.pid, postgres: target.postgresPid, load: load.pid };
    return await costOf(pids, () =>
      load.ask('upload', { url: target.url, taskIds, bytesEach, chunkBytes, content }),
    );
  };
  const rest = async (target: UploadTarget): Promise<void> => {
    await target.clear();
    await delay(restMs);
  };
  const measure = async (target: UploadTarget, one: UploadCase): Promise<string> => {
    const cost = await upload(target, one);
    const gib = (one.uploads * one.bytesEach) / (1024 * MiB);
    const add = (metric: Metric, value: number): void =>
      measurements.add(one.name, target.name, metric, value);
    add(rate, (gib * 1024) / cost.result.seconds);
    add(cpu, cost.server / gib);
    if (target.postgresPid !== undefined) {
      add(postgresCpu, cost.postgres / gib);
    }
    add(loadCpu, cost.load / gib);
    add(memory, (await memoryOf(target.pid)).peak / MiB);
    await rest(target);
    return cost.result.sha256;
  };

  // The first upload of a process compiles its code and touches memory that the machine has yet to give.
  for (const target of targets) {
    for (const warmUp of cases.slice(0, 1)) {
      await upload(target, warmUp);
      await rest(target);
    }
  }
  for (let round = 0; round < options.runs; round += 1) {
    for (const one of cases.filter(({ name }) => options.wants(name))) {
      const digests = new Set<string>();
      // In turn first and second: whatever the one leaves behind, the other meets as often.
      for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
        digests.add(await measure(target, one));
      }
      if (digests.size !== 1) {
        throw new Error(`the servers disagree on the sha256: ${[...digests].join(', ')}`);
      }
    }
  }
  return measurements;
}

function uploadCases(mib: number): UploadCase[] {
  const one = { uploads: 1, bytesEach: mib * MiB, chunkBytes: MiB, content: 'random' } as const;
  const each = Math.max(1, Math.floor(mib / parallel));
  return [
    { ...one, name: `one stream of ${mib} MiB, chunks of 1 MiB` },
    {
      ...one,
      name: `${parallel} streams of ${each} MiB`,
      uploads: parallel,
      bytesEach: each * MiB,
    },
    { ...one, name: `one stream of ${mib} MiB, half of it zeros`, content: 'half-zeros' },
    { ...one, name: `one stream of ${mib} MiB, chunks of 64 KiB`, chunkBytes: 64 * KiB },
    { ...one, name: `one stream of ${mib} MiB, chunks of 4 MiB`, chunkBytes: 4 * MiB },
  ];
}
