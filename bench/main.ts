import { bundleIfStale } from '../build/bundle.ts';
import { readCommandLine, UsageError, type BenchName, type BenchOptions } from './command-line.ts';
import { benchClient } from './cases/client.ts';
import { benchDownload } from './cases/download.ts';
import { benchFloods } from './cases/floods.ts';
import { benchIds } from './cases/ids.ts';
import { benchLists } from './cases/lists.ts';
import { benchSmall } from './cases/small.ts';
import { benchWatch } from './cases/watch.ts';
import { benchUpload } from './cases/upload.ts';
import { benchPeers } from './cases/peers.ts';
import { benchResume } from './cases/resume.ts';
import { benchRest } from './cases/rest.ts';
import { benchStarts } from './cases/starts.ts';
import { benchDistance } from './cases/distance.ts';
import { describeMachine } from './machine.ts';
import type { Measurements } from './measurements.ts';
import { belowFloor, quickFloors } from './report/floors.ts';
import { writeReport } from './report/write-report.ts';
import { Stage } from './stage/stage.ts';

const benches: Readonly<
  Record<BenchName, (stage: Stage, options: BenchOptions) => Promise<Measurements>>
> = {
  upload: benchUpload,
  small: benchSmall,
  download: benchDownload,
  watch: benchWatch,
  lists: benchLists,
  ids: benchIds,
  floods: benchFloods,
  peers: benchPeers,
  resume: benchResume,
  starts: benchStarts,
  rest: benchRest,
  distance: benchDistance,
  client: benchClient,
};

/** What a shell answers for a program that was ended by Ctrl-C. */
const interrupted = 130;

let stage: Stage | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    console.error('\ncleaning up …');
    void (stage?.close() ?? Promise.resolve()).finally(() => process.exit(interrupted));
  });
}

try {
  const { benches: names, options } = readCommandLine(process.argv.slice(2));
  await bundleIfStale();
  const machine = await describeMachine();
  console.log(`${machine}\n`);
  for (const name of names) {
    stage = await Stage.open();
    try {
      const measurements = await benches[name](stage, options);
      console.log(`${String(measurements)}\n`);
      if (options.reportFolder !== undefined) {
        await writeReport(options.reportFolder, measurements, machine);
      }
      for (const sentence of options.isQuick ? belowFloor(measurements, quickFloors) : []) {
        console.error(`TOO SLOW ${sentence}`);
        process.exitCode = 1;
      }
    } finally {
      await stage.close();
    }
  }
} catch (error) {
  if (!(error instanceof UsageError)) {
    throw error;
  }
  console.error(error.message);
  process.exitCode = 2;
}
