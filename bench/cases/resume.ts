import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { setTimeout as delay } from 'node:timers/promises';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import type { BenchOptions } from '../command-line.ts';
import type { UploadLoad } from '../load/upload-load.ts';
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

const seconds = { name: 's', digits: 2 };
const cpu = { name: 'server CPU s', digits: 2 };

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
  const order = {
    bytesEach: options.resumeMib * MiB,
    chunkBytes: MiB,
    content: 'random',
  } as const;
  const committed = Math.floor(order.bytesEach * 0.9);
  const sent = await load.ask('sha256', order);
  const measurements = new Measurements('resume');
  const name = `${options.resumeMib} MiB, killed at 90 %`;

  const clear = async ({ url }: BenchService, imageId: string): Promise<void> => {
    await imageClient(url).deleteImage({ imageId });
  };
  const whole = async (): Promise<number> => {
    const service = await start();
    const { imageId, taskId } = await createUpload(imageClient(service.url));
    const cost = await costOf({ server: service.pid, load: load.pid }, () =>
      load.ask('upload', { ...order, url: service.url, taskIds: [taskId] }),
    );
    assertSent(cost.result.sha256, sent);
    measurements.add(name, baseline, cpu, cost.server);
    await clear(service, imageId);
    await service.stop();
    return cost.result.seconds;
  };
  const broken = async (): Promise<number> => {
    const killed = await start();
    const { imageId, taskId } = await createUpload(imageClient(killed.url));
    await load.ask('hold', { ...order, url: killed.url, taskId, to: committed });
    await untilCommitted(killed.url, taskId, committed);
    await killed.kill();
    const service = await start();
    const cost = await costOf({ server: service.pid, load: load.pid }, () =>
      load.ask('resume', { ...order, url: service.url, taskId }),
    );
    assertSent(cost.result.sha256, sent);
    measurements.add(name, 'resume', cpu, cost.server);
    await clear(service, imageId);
    await service.stop();
    return cost.result.seconds;
  };

  for (let round = 0; round < options.runs; round += 1) {
    const [first, second] = round % 2 === 0 ? [whole, broken] : [broken, whole];
    const took = [await first(), await second()];
    const [ofWhole = 0, ofResume = 0] = first === whole ? took : took.toReversed();
    measurements.add(name, 'resume', seconds, ofResume);
    measurements.add(name, baseline, seconds, ofWhole);
    measurements.add(name, 'sha256 alone', seconds, await digestSeconds(load, committed));
  }
  return measurements;
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

function assertSent(found: string, sent: string): void {
  if (found !== sent) {
    throw new Error(`the image is ${found}, and ${sent} was sent`);
  }
}
