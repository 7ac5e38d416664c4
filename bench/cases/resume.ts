import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { setTimeout as delay } from 'node:timers/promises';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import type { BenchOptions } from '../command-line.ts';
import type { UploadLoad, UploadOrder, UploadResult } from '../load/upload-load.ts';
import { baseline, Measurements } from '../measurements.ts';
import { costOf } from '../stage/cpu-watch.ts';
import { startPostgres } from '../stage/postgres.ts';
import { startScript, type Script } from '../stage/script.ts';
import { startService, type BenchService } from '../stage/service.ts';
import type { Stage } from '../stage/stage.ts';
import { createUpload, imageClient } from './images.ts';

const MiB = 1024 * 1024;
/** How often it is asked how far an upload is, in ms. */
const askMs = 20;

/** As fast as it goes, and as fast as a line of 1 Gbit/s. */
const lines = [
  { line: 'no limit', mibPerSecond: undefined },
  { line: 'client of 1 Gbit/s', mibPerSecond: 119 },
];

const seconds = { name: 's', digits: 2, isDrawn: true };
const cpu = { name: 'server CPU s', digits: 2, isDrawn: true };

/**
 * Measures what a kill of the service costs an upload: it is killed with nine tenths of an image committed, started again,
 * and the upload is resumed. The baseline is the same upload in one go; beside it stands what sha256 alone takes for the bytes
 * that were committed, since a digest cannot be saved.
 */
export async function benchResume(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const load = startScript<UploadLoad>(stage, new URL('../load/upload-load.ts', import.meta.url));
  const { url: databaseUrl } = await startPostgres(stage);
  const { profileFolder } = options;
  const start = (): Promise<BenchService> => startService(stage, { databaseUrl, profileFolder });
  const { bytesEach, committed, ...content } = sizes(options.resumeMib);
  const sent = await load.ask('sha256', { ...content, bytesEach });
  const measurements = new Measurements('resume');

  const clear = async (service: BenchService, imageId: string): Promise<void> => {
    await imageClient(service.url).deleteImage({ imageId });
    await service.stop();
  };
  const costs = async (
    service: BenchService,
    upload: () => Promise<UploadResult>,
  ): Promise<Took> => {
    const { result, server } = await costOf({ server: service.pid, load: load.pid }, upload);
    if (result.sha256 !== sent) {
      throw new Error(`the image is ${result.sha256}, and ${sent} was sent`);
    }
    return { seconds: result.seconds, cpu: server };
  };
  const whole = async (order: Order): Promise<Took> => {
    const service = await start();
    const { url } = service;
    const { imageId, taskId } = await createUpload(imageClient(url));
    const took = await costs(service, () =>
      load.ask('upload', { ...order, url, taskIds: [taskId] }),
    );
    await clear(service, imageId);
    return took;
  };
  const resume = async (order: Order): Promise<Took> => {
    const killed = await start();
    const { imageId, taskId } = await createUpload(imageClient(killed.url));
    await load.ask('hold', { ...content, bytesEach, url: killed.url, taskId, to: committed });
    await untilCommitted(killed.url, taskId, committed);
    await killed.kill();
    const service = await start();
    const { url } = service;
    const took = await costs(service, () => load.ask('resume', { ...order, url, taskId }));
    await clear(service, imageId);
    return took;
  };

  const subjects = [
    [baseline, whole],
    ['resume', resume],
  ] as const;
  for (let round = 0; round < options.runs; round += 1) {
    for (const { line, mibPerSecond } of lines) {
      const name = `${options.resumeMib} MiB, killed at 90 %, ${line}`;
      if (!options.wants(name)) {
        continue;
      }
      for (const [subject, upload] of round % 2 === 0 ? subjects : subjects.toReversed()) {
        const took = await upload({ ...content, bytesEach, mibPerSecond });
        measurements.add(name, subject, seconds, took.seconds);
        measurements.add(name, subject, cpu, took.cpu);
      }
      measurements.add(name, 'sha256 alone', seconds, await digestSeconds(load, committed));
    }
  }
  return measurements;
}

type Order = Omit<UploadOrder, 'url' | 'taskIds'>;

interface Took {
  readonly seconds: number;
  /** Of the server, in seconds. */
  readonly cpu: number;
}

function sizes(mib: number): Omit<Order, 'mibPerSecond'> & { readonly committed: number } {
  const bytesEach = mib * MiB;
  const committed = Math.floor(bytesEach * 0.9);
  return { bytesEach, committed, chunkBytes: MiB, content: 'random' };
}

async function digestSeconds(load: Script<UploadLoad>, bytesEach: number): Promise<number> {
  const began = performance.now();
  await load.ask('sha256', { bytesEach, content: 'random' });
  return (performance.now() - began) / 1000;
}

async function untilCommitted(url: string, taskId: string, bytes: number): Promise<void> {
  const tasks = createClient(TaskService, createGrpcTransport({ baseUrl: url }));
  for (;;) {
    const { task } = await tasks.getTask({ taskId });
    if (Number(task?.progress?.bytesDone ?? 0) >= bytes) {
      return;
    }
    await delay(askMs);
  }
}
