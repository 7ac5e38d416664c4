import pg from 'pg';
import type { BenchOptions } from '../command-line.ts';
import type { CallKind, CallLoad } from '../load/call-load.ts';
import { baseline, Measurements, percentile, type Metric } from '../measurements.ts';
import { costOf } from '../stage/cpu-watch.ts';
import { startPostgres } from '../stage/postgres.ts';
import { startScript } from '../stage/script.ts';
import { startService } from '../stage/service.ts';
import type { Stage } from '../stage/stage.ts';
import { createUpload, imageClient } from './images.ts';

const rate = { name: 'calls/s', digits: 0, isDrawn: true };
const p50 = { name: 'p50 ms', digits: 2 };
const p99 = { name: 'p99 ms', digits: 2 };
const cpu = { name: 'server CPU ms a call', digits: 2, isDrawn: true };
const postgresCpu = { name: 'PostgreSQL CPU ms a call', digits: 2 };
const loadCpu = { name: 'client CPU ms a call', digits: 2 };

interface SmallCase {
  readonly name: string;
  readonly kind: CallKind;
  /** What PostgreSQL alone is asked for comparison. */
  readonly baseline: CallKind;
}

const cases: readonly SmallCase[] = [
  { name: 'CreateImage', kind: 'create', baseline: 'insert' },
  { name: 'GetImage', kind: 'get', baseline: 'select' },
  { name: 'create + upload 64 KiB + ACTIVE', kind: 'small-image', baseline: 'insert' },
];
const callerCounts = [1, 16];

/** Measures small calls against single statements of PostgreSQL. */
export async function benchSmall(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const postgres = await startPostgres(stage);
  const service = await startService(stage, {
    databaseUrl: postgres.url,
    profileFolder: options.profileFolder,
  });
  const load = startScript<CallLoad>(stage, new URL('../load/call-load.ts', import.meta.url));
  await makeBenchRows(postgres.url);
  const imageIds = await makeImages(service.url, 200);
  const measurements = new Measurements('small');

  for (let round = 0; round < options.runs; round += 1) {
    for (const one of cases) {
      for (const callers of callerCounts) {
        const name = `${one.name}, ${callers} caller${callers === 1 ? '' : 's'}`;
        if (!options.wants(name)) {
          continue;
        }
        const kinds = [one.kind, one.baseline];
        for (const kind of round % 2 === 0 ? kinds : kinds.toReversed()) {
          const isService = kind === one.kind;
          const url = isService ? service.url : postgres.url;
          const { seconds } = options;
          const pids = { server: service.pid, postgres: postgres.pid, load: load.pid };
          const cost = await costOf(pids, () =>
            load.ask('call', { kind, url, callers, seconds, imageIds }),
          );
          const subject = isService ? 'Darkroom' : baseline;
          const { calls, durations } = cost.result;
          const add = (metric: Metric, value: number): void =>
            measurements.add(name, subject, metric, value);
          add(rate, calls / cost.result.seconds);
          add(p50, percentile([...durations], 0.5));
          add(p99, percentile([...durations], 0.99));
          if (isService) {
            add(cpu, (cost.server / calls) * 1000);
          }
          add(postgresCpu, (cost.postgres / calls) * 1000);
          add(loadCpu, (cost.load / calls) * 1000);
        }
      }
    }
  }
  return measurements;
}

async function makeBenchRows(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('create table bench_rows (id uuid primary key, body text)');
  await client.query(
    `insert into bench_rows select gen_random_uuid(), repeat('x', 300) from generate_series(1, 1000)`,
  );
  await client.end();
}

async function makeImages(url: string, count: number): Promise<string[]> {
  const images = imageClient(url);
  const ids: string[] = [];
  for (let i = 0; i < count; i += 1) {
    ids.push((await createUpload(images)).imageId);
  }
  return ids;
}
