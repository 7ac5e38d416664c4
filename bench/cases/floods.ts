import { setTimeout as delay } from 'node:timers/promises';
import type { BenchOptions } from '../command-line.ts';
import type { CallLoad } from '../load/call-load.ts';
import type { FloodLoad } from '../load/flood-load.ts';
import { floodNames, tlsFloodNames, type FloodName } from '../load/floods.ts';
import type { FloodTarget } from '../load/floods/flood.ts';
import { baseline, Measurements, percentile } from '../measurements.ts';
import { tlsSettings } from '../stage/certificate.ts';
import { startPostgres } from '../stage/postgres.ts';
import { cpuSeconds, memoryOf, resetPeak } from '../stage/process-usage.ts';
import { startScript, type Script } from '../stage/script.ts';
import { startService, type BenchService } from '../stage/service.ts';
import type { Stage } from '../stage/stage.ts';
import { createUpload, imageClient } from './images.ts';

const MiB = 1024 * 1024;

const p50 = { name: 'others’ p50 ms', digits: 2 };
const p99 = { name: 'others’ p99 ms', digits: 2 };
const worst = { name: 'others’ longest ms', digits: 1 };
const cpu = { name: 'server CPU s', digits: 2 };
const memory = { name: 'RSS MiB above before', digits: 0 };
const done = { name: 'done by the flood', digits: 0 };

/** After this part of a measurement a flood begins, in ms. */
const leadMs = 500;

/** Who calls and who floods. */
interface Clients {
  readonly others: Script<CallLoad>;
  readonly flooder: Script<FloodLoad>;
}

/**
 * Measures what clients of the service notice while another one floods it, against the same without a flood. The
 * others are one caller of GetImage in a process of its own, as the flood is.
 */
export async function benchFloods(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const postgres = await startPostgres(stage);
  const clients: Clients = {
    others: startScript<CallLoad>(stage, new URL('../load/call-load.ts', import.meta.url)),
    flooder: startScript<FloodLoad>(stage, new URL('../load/flood-load.ts', import.meta.url)),
  };
  const measurements = new Measurements('floods');
  for (const [names, env] of [
    [floodNames, {}],
    [tlsFloodNames, tlsSettings(stage)],
  ] as const) {
    const wanted = names.filter(options.wants);
    if (wanted.length === 0) {
      continue;
    }
    const service = await startService(stage, {
      databaseUrl: postgres.url,
      profileFolder: options.profileFolder,
      env,
    });
    const images = imageClient(service.url);
    const { imageId, taskId } = await createUpload(images);
    const target = { port: Number(new URL(service.url).port), imageId, taskId };
    const measured = { service, target, clients, options };
    // Once, so that all code is compiled.
    for (const name of wanted) {
      await measure(measured, new Measurements('warm-up'), name, name);
    }
    for (let round = 0; round < options.runs; round += 1) {
      for (const name of wanted) {
        await measure(measured, measurements, name);
        await measure(measured, measurements, name, name);
      }
    }
    await service.stop();
  }
  return measurements;
}

/** What is measured. */
interface Measured {
  readonly service: BenchService;
  readonly target: FloodTarget;
  readonly clients: Clients;
  readonly options: BenchOptions;
}

async function measure(
  { service, target, clients: { others, flooder }, options: { seconds } }: Measured,
  measurements: Measurements,
  name: string,
  flood?: FloodName,
): Promise<void> {
  const subject = flood === undefined ? baseline : 'flooded';
  await resetPeak(service.pid);
  const before = await memoryOf(service.pid);
  const used = await cpuSeconds(service.pid);
  const called = others.ask('call', {
    kind: 'get',
    url: service.url,
    callers: 1,
    seconds,
    imageIds: [target.imageId],
  });
  await delay(leadMs);
  if (flood !== undefined) {
    const order = { name: flood, target, seconds: seconds - leadMs / 1000 };
    measurements.add(name, subject, done, await flooder.ask('flood', order));
  }
  const durations = [...(await called).durations];
  measurements.add(name, subject, p50, percentile(durations, 0.5));
  measurements.add(name, subject, p99, percentile(durations, 0.99));
  measurements.add(name, subject, worst, Math.max(...durations));
  measurements.add(name, subject, cpu, (await cpuSeconds(service.pid)) - used);
  const { peak } = await memoryOf(service.pid);
  measurements.add(name, subject, memory, (peak - before.resident) / MiB);
  await flooder.ask('release', null);
}
