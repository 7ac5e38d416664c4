import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { BenchOptions } from '../command-line.ts';
import type { Delivery, WatchLoad } from '../load/watch-load.ts';
import { baseline, Measurements, median, percentile, type Metric } from '../measurements.ts';
import { seedWatchedTasks } from '../seed/watched-tasks.ts';
import { costOf } from '../stage/cpu-watch.ts';
import { Pauses } from '../stage/pauses.ts';
import { startPostgres, type BenchPostgres } from '../stage/postgres.ts';
import { memoryOf } from '../stage/process-usage.ts';
import { startScript, type Script } from '../stage/script.ts';
import { startService, type BenchService } from '../stage/service.ts';
import type { Stage } from '../stage/stage.ts';
import { NotifyRoundTrip, TaskChanger, type Change } from './task-changes.ts';

const KiB = 1024;
/** So many of the watchers watch one task. */
const crowd = 1000;
/** Watchers that are there before memory is measured, so that all code is compiled and all pools are filled. */
const firstWatchers = 500;
const changesPerSecond = 50;
const settleMs = 3000;
const crowdChanges = 10;
const crowdPauseMs = 1000;
/** How long to wait for what must arrive. */
const patienceMs = 30_000;
/** What the CPU time at rest is told for, in s. */
const restSeconds = 30;

const opened = { name: 'watches opened/s', digits: 0 };
const memory = { name: 'RSS KiB a watcher', digits: 1, isDrawn: true };
const total = { name: 'RSS MiB in all', digits: 0 };
const memoryAtRest = { name: 'RSS KiB a watcher, after the rest', digits: 1, isDrawn: true };
const totalAtRest = { name: 'RSS MiB in all, after the rest', digits: 0 };
const rest = { name: `server CPU s in ${restSeconds} s at rest`, digits: 2 };
const restPostgres = { name: `PostgreSQL CPU s in ${restSeconds} s at rest`, digits: 2 };
const collections = { name: 'full collections since all are open', digits: 0 };
const longestPause = { name: 'the longest of their pauses, ms', digits: 1, isDrawn: true };
const openingPause = { name: 'longest pause of one until then, ms', digits: 1 };
const sentP50 = { name: 'sent to delivered, p50 ms', digits: 2 };
const sentP99 = { name: 'sent to delivered, p99 ms', digits: 2 };
const committedP50 = { name: 'committed to delivered, p50 ms', digits: 2 };
const committedP99 = { name: 'committed to delivered, p99 ms', digits: 2, isDrawn: true };
const lastMs = { name: 'committed to delivered, last ms', digits: 2, isDrawn: true };

/** What one round works with. */
interface Round {
  readonly postgres: BenchPostgres;
  readonly service: BenchService;
  readonly load: Script<WatchLoad>;
  readonly changer: TaskChanger;
  readonly roundTrip: NotifyRoundTrip;
  readonly pauses: Pauses;
  readonly options: BenchOptions;
  /** Each watched by one watcher. */
  readonly single: readonly string[];
  /** Watched by the crowd. */
  readonly crowded: string;
  readonly add: (name: string, subject: string, metric: Metric, value: number) => void;
}

/** Measures what watchers cost, and how soon they are told. */
export async function benchWatch(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const measurements = new Measurements('watch');
  const postgres = await startPostgres(stage);
  const clients = await connectAll(stage, postgres.url);
  let taskIds: readonly string[] | undefined;
  for (let round = 0; round < options.runs; round += 1) {
    // A new process each time: what a watcher takes is seen on one that never had any.
    const pauses = new Pauses(stage);
    const service = await startService(stage, {
      databaseUrl: postgres.url,
      profileFolder: options.profileFolder,
      nodeArguments: pauses.nodeArguments,
      env: {
        DARKROOM_MAX_WATCHES: '1000000',
        DARKROOM_MAX_WATCHES_PER_CALLER: '1000000',
        ...pauses.env,
      },
    });
    const load = startScript<WatchLoad>(stage, new URL('../load/watch-load.ts', import.meta.url));
    taskIds ??= await seedWatchedTasks(postgres.url, Math.max(1, options.watchers - crowd) + 1);
    const [crowded = '', ...single] = taskIds;
    await measureRound({
      ...clients,
      postgres,
      service,
      load,
      pauses,
      options,
      single,
      crowded,
      add: (...measured) => measurements.add(...measured),
    });
    await load.stop();
    await service.stop();
  }
  return measurements;
}

async function connectAll(
  stage: Stage,
  url: string,
): Promise<{ changer: TaskChanger; roundTrip: NotifyRoundTrip }> {
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    stage.defer(() => client.end());
    return client;
  };
  return {
    changer: new TaskChanger(await connect()),
    roundTrip: await NotifyRoundTrip.begin(await connect(), await connect()),
  };
}

async function measureRound(round: Round): Promise<void> {
  const { pauses, options, add } = round;
  const name = `${options.watchers} watchers`;
  const before = await openWatchers(round);
  add(name, 'Darkroom', openingPause, Math.max(0, ...(await pauses.sinceLast())));
  await measureRest(round, before);
  await measureDelay(round);
  await measureCrowd(round);
  const since = await pauses.sinceLast();
  add(name, 'Darkroom', collections, since.length);
  add(name, 'Darkroom', longestPause, Math.max(0, ...since));
  const ended = await round.load.ask('ended', null);
  if (ended > 0) {
    throw new Error(`${ended} watches have ended`);
  }
}

/** Answers what the process held before nearly all of them, in bytes. */
async function openWatchers(round: Round): Promise<number> {
  const { load, service, single, crowded, options, add } = round;
  const name = `${options.watchers} watchers`;
  const watched = [...single, ...Array.from({ length: crowd }, () => crowded)];
  const { url } = service;
  await load.ask('watch', { url, taskIds: watched.slice(0, firstWatchers) });
  await delay(settleMs);
  const before = await memoryOf(service.pid);
  const began = performance.now();
  await load.ask('watch', { url, taskIds: watched.slice(firstWatchers) });
  const seconds = (performance.now() - began) / 1000;
  await delay(settleMs);
  const after = await memoryOf(service.pid);
  const more = watched.length - firstWatchers;
  add(name, 'Darkroom', opened, more / seconds);
  add(name, 'Darkroom', memory, (after.resident - before.resident) / more / KiB);
  add(name, 'Darkroom', total, after.resident / KiB / KiB);
  return before.resident;
}

async function measureRest(
  { load, service, postgres, options, add }: Round,
  before: number,
): Promise<void> {
  const pids = { server: service.pid, postgres: postgres.pid, load: load.pid };
  const cost = await costOf(pids, () => delay(3 * options.seconds * 1000));
  const name = `${options.watchers} watchers`;
  // Without what the opening left behind, which is collected when the process comes to rest.
  const { resident } = await memoryOf(service.pid);
  add(
    name,
    'Darkroom',
    memoryAtRest,
    (resident - before) / (options.watchers - firstWatchers) / KiB,
  );
  add(name, 'Darkroom', totalAtRest, resident / KiB / KiB);
  add(name, 'Darkroom', rest, (cost.server / cost.wall) * restSeconds);
  add(name, 'Darkroom', restPostgres, (cost.postgres / cost.wall) * restSeconds);
}

/** Changes single tasks, one after the other, in turn with bare notifications. */
async function measureDelay(round: Round): Promise<void> {
  const { load, changer, roundTrip, options, single, add } = round;
  await load.ask('deliveries', null);
  const changes: Change[] = [];
  const trips: { sent: number; committed: number; at: number }[] = [];
  const count = options.seconds * changesPerSecond;
  for (let i = 0; i < count; i += 1) {
    const taskId = single[Math.floor(Math.random() * single.length)] ?? '';
    const pause = delay(1000 / changesPerSecond);
    changes.push(await changer.change(taskId));
    await pause;
    trips.push(await roundTrip.notify());
  }
  const arrivals = await arrivalsOf(round, changes);
  const delivered = changes.map((change) =>
    Object.assign({ at: arrivals.get(nameOf(change)) ?? NaN }, change),
  );
  const name = `one watcher of a task, ${changesPerSecond} changes/s, ${options.watchers} watchers in all`;
  for (const [subject, timed] of [
    ['Darkroom', delivered],
    [baseline, trips],
  ] as const) {
    const fromSent = timed.map(({ at, sent }) => at - sent);
    const fromCommitted = timed.map(({ at, committed }) => at - committed);
    add(name, subject, sentP50, percentile(fromSent, 0.5));
    add(name, subject, sentP99, percentile(fromSent, 0.99));
    add(name, subject, committedP50, percentile(fromCommitted, 0.5));
    add(name, subject, committedP99, percentile(fromCommitted, 0.99));
  }
}

/** When each change arrived, by its name. @throws if one does not arrive in time. */
async function arrivalsOf(
  { load }: Round,
  changes: readonly Change[],
): Promise<ReadonlyMap<string, number>> {
  const arrivals = new Map<string, number>();
  for (const deadline = performance.now() + patienceMs; ;) {
    await delay(settleMs);
    for (const delivery of await load.ask('deliveries', null)) {
      arrivals.set(nameOf(delivery), delivery.at);
    }
    const missing = changes.find((change) => !arrivals.has(nameOf(change)));
    if (missing === undefined) {
      return arrivals;
    }
    if (performance.now() > deadline) {
      throw new Error(`revision ${missing.revision} of task ${missing.taskId} never arrived`);
    }
  }
}

function nameOf({ taskId, revision }: Pick<Change, 'taskId' | 'revision'>): string {
  return `${taskId} ${revision}`;
}

/** Changes the task that many watch. */
async function measureCrowd(round: Round): Promise<void> {
  const { changer, options, crowded, add } = round;
  const fanOuts: { p50: number; p99: number; last: number }[] = [];
  for (let i = 0; i < crowdChanges; i += 1) {
    const delays = await delaysOfCrowd(round, await changer.change(crowded));
    fanOuts.push({
      p50: percentile(delays, 0.5),
      p99: percentile(delays, 0.99),
      last: Math.max(...delays),
    });
  }
  const name = `one change to ${crowd} watchers, ${options.watchers} watchers in all`;
  add(name, 'Darkroom', committedP50, median(fanOuts.map(({ p50 }) => p50)));
  add(name, 'Darkroom', committedP99, median(fanOuts.map(({ p99 }) => p99)));
  add(name, 'Darkroom', lastMs, median(fanOuts.map(({ last }) => last)));
}

async function delaysOfCrowd({ load }: Round, change: Change): Promise<number[]> {
  const delays: number[] = [];
  for (const deadline = performance.now() + patienceMs; performance.now() < deadline;) {
    await delay(crowdPauseMs);
    delays.push(...delaysOf(change, await load.ask('deliveries', null)));
    if (delays.length === crowd) {
      return delays;
    }
  }
  throw new Error(`${delays.length} of ${crowd} watchers were told of a change`);
}

function delaysOf(change: Change, deliveries: readonly Delivery[]): number[] {
  return deliveries
    .filter(({ taskId, revision }) => taskId === change.taskId && revision === change.revision)
    .map(({ at }) => at - change.committed);
}
