import { setTimeout as delay } from 'node:timers/promises';
import type { BenchOptions } from '../command-line.ts';
import type { CallLoad } from '../load/call-load.ts';
import type { FloodLoad } from '../load/flood-load.ts';
import { baseline, Measurements, percentile } from '../measurements.ts';
import { startPostgres } from '../stage/postgres.ts';
import { cpuSeconds, memoryOf, resetPeak } from '../stage/process-usage.ts';
import { startScript, type Script } from '../stage/script.ts';
import { startService } from '../stage/service.ts';
import type { Stage } from '../stage/stage.ts';
import { createUpload, imageClient } from './images.ts';

const MiB = 1024 * 1024;

const p50 = { name: 'others’ p50 ms', digits: 2 };
const p99 = { name: 'others’ p99 ms', digits: 2 };
const worst = { name: 'others’ longest ms', digits: 1 };
const cpu = { name: 'server CPU s', digits: 2 };
const memory = { name: 'RSS MiB above before', digits: 0 };

/** After this part of a measurement a flood begins, in ms. */
const leadMs = 500;

interface Flood {
  readonly name: string;
  /** Floods for so many seconds, or once. */
  run(load: Script<FloodLoad>, url: string, seconds: number): Promise<void>;
}

const calls = 20_000;

const floods: readonly Flood[] = [
  {
    name: '20,000 calls given up, once',
    async run(load, url) {
      await load.ask('giveUpCalls', { url, calls, seconds: 0 });
    },
  },
  {
    name: '20,000 calls given up, on connection after connection',
    async run(load, url, seconds) {
      await load.ask('giveUpCalls', { url, calls, seconds });
    },
  },
  {
    name: '1,500 half-sent heads and 1,000 silent connections of HTTP/2',
    async run(load, url) {
      await load.ask('hold', { url, halfHeads: 1500, silent: 1000 });
    },
  },
];

/**
 * Measures what clients of the service notice while another one floods it, against the same without a flood. The
 * others are one caller of GetImage in a process of its own, as the flood is.
 */
export async function benchFloods(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const postgres = await startPostgres(stage);
  const service = await startService(stage, {
    databaseUrl: postgres.url,
    profileFolder: options.profileFolder,
  });
  const others = startScript<CallLoad>(stage, new URL('../load/call-load.ts', import.meta.url));
  const flooder = startScript<FloodLoad>(stage, new URL('../load/flood-load.ts', import.meta.url));
  const { imageId } = await createUpload(imageClient(service.url));
  const { seconds } = options;

  const measure = async (
    measurements: Measurements,
    name: string,
    subject: string,
    flood?: Flood,
  ): Promise<void> => {
    await resetPeak(service.pid);
    const before = await memoryOf(service.pid);
    const used = await cpuSeconds(service.pid);
    const order = {
      kind: 'get',
      url: service.url,
      callers: 1,
      seconds,
      imageIds: [imageId],
    } as const;
    const called = others.ask('call', order);
    await delay(leadMs);
    await flood?.run(flooder, service.url, seconds - leadMs / 1000);
    const durations = [...(await called).durations];
    measurements.add(name, subject, p50, percentile(durations, 0.5));
    measurements.add(name, subject, p99, percentile(durations, 0.99));
    measurements.add(name, subject, worst, Math.max(...durations));
    measurements.add(name, subject, cpu, (await cpuSeconds(service.pid)) - used);
    const { peak } = await memoryOf(service.pid);
    measurements.add(name, subject, memory, (peak - before.resident) / MiB);
    await flooder.ask('release', null);
  };

  // Once, so that all code is compiled.
  await measure(new Measurements('warm-up'), 'warm-up', baseline, floods[0]);
  const measurements = new Measurements('floods');
  for (let round = 0; round < options.runs; round += 1) {
    for (const flood of floods.filter(({ name }) => options.wants(name))) {
      await measure(measurements, flood.name, baseline);
      await measure(measurements, flood.name, 'flooded', flood);
    }
  }
  return measurements;
}
