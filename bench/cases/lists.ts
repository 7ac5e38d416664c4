import type { BenchOptions } from '../command-line.ts';
import type { ListLoad } from '../load/list-load.ts';
import { baseline, Measurements, percentile } from '../measurements.ts';
import { seedManyTasks, tasksOfImage } from '../seed/many-tasks.ts';
import { costOf } from '../stage/cpu-watch.ts';
import { startPostgres } from '../stage/postgres.ts';
import { startScript } from '../stage/script.ts';
import { startService } from '../stage/service.ts';
import type { Stage } from '../stage/stage.ts';
import { listCases } from './list-requests.ts';
import { planSettings, PlanReader } from './query-plans.ts';

const p50 = { name: 'p50 ms', digits: 2 };
const p99 = { name: 'p99 ms', digits: 2 };
const cpu = { name: 'server CPU ms a call', digits: 2 };
const postgresCpu = { name: 'PostgreSQL CPU ms a call', digits: 2 };
/** Calls of one list in one round. */
const callsOfRound = 100;
/** Calls that are not measured: connections, caches and compiled code are ready after them. */
const firstCalls = 20;

/** Measures lists on many rows, against the reading of a hundred rows by their keys. */
export async function benchLists(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const postgres = await startPostgres(stage, options.plans ? planSettings : {});
  const service = await startService(stage, {
    databaseUrl: postgres.url,
    profileFolder: options.profileFolder,
  });
  const picked = await seedManyTasks(postgres.url, options.tasks);
  const load = startScript<ListLoad>(stage, new URL('../load/list-load.ts', import.meta.url));
  const cases = listCases(picked).filter(({ name }) => options.wants(name));
  const { url } = service;

  if (options.plans) {
    const reader = await PlanReader.open(stage, postgres);
    for (const { name, ...request } of cases) {
      const plans = await reader.during(() => load.ask('call', { url, ...request, calls: 1 }));
      console.log(`${name}\n\n${plans}\n`);
    }
    await reader.stop();
  }

  const rows = options.tasks.toLocaleString('en');
  const images = Math.floor(options.tasks / tasksOfImage).toLocaleString('en');
  const measurements = new Measurements(`lists: ${rows} tasks, ${images} images`);
  const pids = { server: service.pid, postgres: postgres.pid, load: load.pid };
  for (let round = -1; round < options.runs; round += 1) {
    const calls = round < 0 ? firstCalls : callsOfRound;
    const base = await costOf(pids, () => load.ask('select', { url: postgres.url, calls }));
    for (const { name, ...request } of cases) {
      const list = await costOf(pids, () => load.ask('call', { url, ...request, calls }));
      if (round < 0) {
        continue;
      }
      measurements.add(name, 'Darkroom', cpu, (list.server / calls) * 1000);
      for (const [subject, cost] of [
        ['Darkroom', list],
        [baseline, base],
      ] as const) {
        measurements.add(name, subject, p50, percentile([...cost.result], 0.5));
        measurements.add(name, subject, p99, percentile([...cost.result], 0.99));
        measurements.add(name, subject, postgresCpu, (cost.postgres / calls) * 1000);
      }
    }
  }
  return measurements;
}
