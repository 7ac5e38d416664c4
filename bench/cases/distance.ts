import type { BenchOptions } from '../command-line.ts';
import type { DelayingProxy } from '../delaying-proxy.ts';
import type { UploadLoad } from '../load/upload-load.ts';
import { Measurements } from '../measurements.ts';
import { memoryOf, resetPeak } from '../stage/process-usage.ts';
import { startScript } from '../stage/script.ts';
import type { Stage } from '../stage/stage.ts';
import { baselineTarget, darkroomTarget, type UploadTarget } from './upload-targets.ts';

const MiB = 1024 * 1024;
const roundTrips = [0, 10, 40, 100];
/** A window that is always the same takes long to move more at 100 ms, and one that grows has grown by then. */
const mostMib = 512;

const rate = { name: 'MiB/s', digits: 0 };
const memory = { name: 'peak RSS MiB', digits: 0 };

/**
 * Measures uploads over lines of several lengths, against the plain server, whose window is always 4 MiB. All through the same
 * proxy, also where that does not delay; what is uploaded is deleted again.
 */
export async function benchDistance(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const load = startScript<UploadLoad>(stage, new URL('../load/upload-load.ts', import.meta.url));
  const targets = [await darkroomTarget(stage, options.profileFolder), await baselineTarget(stage)];
  const mib = Math.min(options.mib, mostMib);
  const measurements = new Measurements('distance');

  const upload = async (target: UploadTarget, url: string): Promise<number> => {
    const { seconds } = await load.ask('upload', {
      url,
      taskIds: await target.prepare(1),
      bytesEach: mib * MiB,
      chunkBytes: MiB,
      content: 'random',
    });
    await target.clear();
    return seconds;
  };
  const uploadOver = async (target: UploadTarget, roundTrip: number): Promise<number> => {
    const proxy = startScript<DelayingProxy>(
      stage,
      new URL('../delaying-proxy.ts', import.meta.url),
    );
    const port = await proxy.ask('listen', {
      port: Number(new URL(target.url).port),
      delayMs: roundTrip / 2,
    });
    const seconds = await upload(target, `http://127.0.0.1:${port}`);
    await proxy.stop();
    return seconds;
  };

  // The first upload of a process compiles its code.
  for (const target of targets) {
    await upload(target, target.url);
  }
  for (let round = 0; round < options.runs; round += 1) {
    for (const roundTrip of roundTrips) {
      const name = `${mib} MiB, round trip of ${roundTrip} ms`;
      if (!options.wants(name)) {
        continue;
      }
      for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
        await resetPeak(target.pid);
        const seconds = await uploadOver(target, roundTrip);
        measurements.add(name, target.name, rate, mib / seconds);
        measurements.add(name, target.name, memory, (await memoryOf(target.pid)).peak / MiB);
      }
    }
  }
  return measurements;
}
