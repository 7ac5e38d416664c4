import { cpuSeconds, treeCpuSeconds } from './process-usage.ts';

/** What a piece of work took, in seconds. */
export interface WorkCost<T> {
  readonly result: T;
  readonly wall: number;
  /** CPU time of the server, all its threads and processes. */
  readonly server: number;
  /** CPU time of all of PostgreSQL; 0 where there is none. */
  readonly postgres: number;
  /** CPU time of the process that made the load. */
  readonly load: number;
}

/** The processes whose CPU time counts. */
export interface WatchedProcesses {
  readonly server: number;
  readonly postgres?: number | undefined;
  readonly load: number;
}

/** Runs a piece of work, and tells what it took. */
export async function costOf<T>(
  pids: WatchedProcesses,
  work: () => Promise<T>,
): Promise<WorkCost<T>> {
  const before = await read(pids);
  const began = performance.now();
  const result = await work();
  const wall = (performance.now() - began) / 1000;
  const after = await read(pids);
  return {
    result,
    wall,
    server: after.server - before.server,
    postgres: after.postgres - before.postgres,
    load: after.load - before.load,
  };
}

async function read(
  pids: WatchedProcesses,
): Promise<{ server: number; postgres: number; load: number }> {
  const [server, postgres, load] = await Promise.all([
    treeCpuSeconds(pids.server),
    pids.postgres === undefined ? 0 : treeCpuSeconds(pids.postgres),
    cpuSeconds(pids.load),
  ]);
  return { server, postgres, load };
}
