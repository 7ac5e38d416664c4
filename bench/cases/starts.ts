import { create, toBinary } from '@bufbuild/protobuf';
import { setTimeout as delay } from 'node:timers/promises';
import { ListImagesRequestSchema } from '../../gen/darkroom/v1/image_service_pb.ts';
import type { BaselineFileServer } from '../baseline-file-server.ts';
import type { BenchOptions } from '../command-line.ts';
import { baseline, Measurements } from '../measurements.ts';
import { treeCpuSeconds, treeResidentBytes } from '../stage/process-usage.ts';
import { startScript } from '../stage/script.ts';
import { startService } from '../stage/service.ts';
import type { Stage } from '../stage/stage.ts';
import { GrpcConnection } from '../wire/grpc-connection.ts';
import { createUpload, imageClient } from './images.ts';

const MiB = 1024 * 1024;
/** After its first answer a service is let come to rest. */
const settleMs = 2000;

const firstAnswer = { name: 'first answer s', digits: 2, isDrawn: true };
const startCpu = { name: 'CPU until then s', digits: 2 };
const restMemory = { name: 'memory at rest MiB', digits: 0, isDrawn: true };
const restCpu = { name: 'CPU at rest s/min', digits: 2 };

/**
 * Measures starts on data that is there, with the embedded PostgreSQL: from `node src/main.mjs` to the answer to a call that
 * reads the database. CPU and memory are those of all processes, PostgreSQL's included; of memory that several share, each has
 * its part. The baseline is a bare server of Node.
 */
export async function benchStarts(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const measurements = new Measurements('starts');
  await makeData(stage);
  for (let round = 0; round < options.runs; round += 1) {
    for (const processes of round % 2 === 0 ? [1, 2] : [2, 1]) {
      const name = processes === 1 ? 'one process' : `${processes} processes`;
      const steps = [
        () => startOnce(stage, processes, options, measurements, name),
        () => startBare(stage, measurements, name),
      ];
      for (const step of round % 2 === 0 ? steps : steps.toReversed()) {
        await step();
      }
    }
  }
  return measurements;
}

async function startOnce(
  stage: Stage,
  processes: number,
  { seconds, profileFolder }: BenchOptions,
  measurements: Measurements,
  name: string,
): Promise<void> {
  const began = performance.now();
  const service = await startService(stage, {
    databaseUrl: undefined,
    profileFolder,
    env: { DARKROOM_PROCESSES: String(processes) },
  });
  await askForImages(service.url);
  measurements.add(name, 'Darkroom', firstAnswer, (performance.now() - began) / 1000);
  measurements.add(name, 'Darkroom', startCpu, await treeCpuSeconds(service.pid));

  await delay(settleMs);
  const before = await treeCpuSeconds(service.pid);
  await delay(seconds * 1000);
  const used = (await treeCpuSeconds(service.pid)) - before;
  measurements.add(name, 'Darkroom', restCpu, (used / seconds) * 60);
  measurements.add(name, 'Darkroom', restMemory, (await treeResidentBytes(service.pid)) / MiB);
  await service.stop();
}

async function startBare(stage: Stage, measurements: Measurements, name: string): Promise<void> {
  const began = performance.now();
  const server = startScript<BaselineFileServer>(
    stage,
    new URL('../baseline-file-server.ts', import.meta.url),
  );
  const url = await server.ask('listen', { file: import.meta.filename });
  await (await fetch(url)).text();
  measurements.add(name, baseline, firstAnswer, (performance.now() - began) / 1000);
  measurements.add(name, baseline, startCpu, await treeCpuSeconds(server.pid));
  measurements.add(name, baseline, restMemory, (await treeResidentBytes(server.pid)) / MiB);
  await server.stop();
}

/** The first start makes the database. */
async function makeData(stage: Stage): Promise<void> {
  const service = await startService(stage, { databaseUrl: undefined });
  await createUpload(imageClient(service.url));
  await service.stop();
}

async function askForImages(url: string): Promise<void> {
  const connection = await GrpcConnection.open(url);
  const request = toBinary(ListImagesRequestSchema, create(ListImagesRequestSchema));
  await connection.unary('darkroom.v1.ImageService/ListImages', request);
  connection.close();
}
