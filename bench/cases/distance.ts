import type { BenchOptions } from '../command-line.ts';
import type { DelayingProxy } from '../delaying-proxy.ts';
import type { UploadLoad } from '../load/upload-load.ts';
import { baseline, Measurements } from '../measurements.ts';
import { startPostgres } from '../stage/postgres.ts';
import { memoryOf, resetPeak } from '../stage/process-usage.ts';
import { startScript } from '../stage/script.ts';
import { startService } from '../stage/service.ts';
import type { Stage } from '../stage/stage.ts';
import { createUpload, imageClient } from './images.ts';

const MiB = 1024 * 1024;
const roundTrips = [0, 10, 40, 100];
/** A window that is always the same takes long to move more at 100 ms, and one that grows has grown by then. */
const mostMib = 512;

const rate = { name: 'MiB/s', digits: 0 };
const memory = { name: 'peak RSS MiB', digits: 0 };

/**
 * Measures uploads over lines of several lengths, with the receive window that follows the line, and as the baseline with one
 * that stays as large as it is at first. Both through the same proxy, also where that does not delay.
 */
export async function benchDistance(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const load = startScript<UploadLoad>(stage, new URL('../load/upload-load.ts', import.meta.url));
  const { url: databaseUrl } = await startPostgres(stage);
  const mib = Math.min(options.mib, mostMib);
  const order = { bytesEach: mib * MiB, chunkBytes: MiB, content: 'random' } as const;
  const measurements = new Measurements('distance');

  const measure = async (subject: string, env: Readonly<Record<string, string>>): Promise<void> => {
    const { profileFolder } = options;
    const service = await startService(stage, { databaseUrl, profileFolder, env });
    const images = imageClient(service.url);
    const upload = async (url: string): Promise<number> => {
      const { imageId, taskId } = await createUpload(images);
      const { seconds } = await load.ask('upload', { ...order, url, taskIds: [taskId] });
      await images.deleteImage({ imageId });
      return seconds;
    };
    // The first upload of a process compiles its code.
    await upload(service.url);
    for (const roundTrip of roundTrips) {
      const name = `${mib} MiB, round trip of ${roundTrip} ms`;
      if (!options.wants(name)) {
        continue;
      }
      const proxy = startScript<DelayingProxy>(
        stage,
        new URL('../delaying-proxy.ts', import.meta.url),
      );
      const port = await proxy.ask('listen', {
        port: Number(new URL(service.url).port),
        delayMs: roundTrip / 2,
      });
      await resetPeak(service.pid);
      const seconds = await upload(`http://127.0.0.1:${port}`);
      measurements.add(name, subject, rate, mib / seconds);
      measurements.add(name, subject, memory, (await memoryOf(service.pid)).peak / MiB);
      await proxy.stop();
    }
    await service.stop();
  };

  const subjects = [
    ['Darkroom', {}],
    [baseline, { DARKROOM_MAX_STREAM_WINDOW_BYTES: String(4 * MiB) }],
  ] as const;
  for (let round = 0; round < options.runs; round += 1) {
    for (const [subject, env] of round % 2 === 0 ? subjects : subjects.toReversed()) {
      await measure(subject, env);
    }
  }
  return measurements;
}
