import { readdir, readFile, writeFile } from 'node:fs/promises';

/** What a process holds, in bytes. */
export interface ProcessMemory {
  readonly resident: number;
  /** The most that was resident since the process began, or since `resetPeak`. */
  readonly peak: number;
}

/** The kernel counts CPU time for user space in hundredths of a second, on every architecture. */
const ticksPerSecond = 100;

/** The CPU time that a process has used by now, user and system, all its threads, in seconds. */
export async function cpuSeconds(pid: number): Promise<number> {
  return (await readTimes(pid)).own;
}

/**
 * The CPU time of a process, of its children that have ended, and of those that live; in seconds. Of
 * PostgreSQL's postmaster: all of the server.
 */
export async function treeCpuSeconds(pid: number): Promise<number> {
  const { own, ended } = await readTimes(pid);
  const children = await readChildren(pid);
  // A child that ends in between is missed: PostgreSQL's backends live as long as their connections.
  const living = await Promise.all(children.map((child) => treeCpuSeconds(child).catch(() => 0)));
  return living.reduce((sum, seconds) => sum + seconds, own + ended);
}

/** A process, and all that it has started and that live. */
export async function processesOf(pid: number): Promise<number[]> {
  const children = await readChildren(pid).catch(() => []);
  return [pid, ...(await Promise.all(children.map(processesOf))).flat()];
}

/** The CPU time of each living thread of a process, by its name, in seconds; threads of one name are added up. */
export async function threadCpuSeconds(pid: number): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const { name, own } = await readTimes(pid, `task/${thread}/`).catch(() => noTimes);
    const key = Number(thread) === pid ? 'main' : name;
    times.set(key, (times.get(key) ?? 0) + own);
  }
  return times;
}

/** What a process holds now. */
export async function memoryOf(pid: number): Promise<ProcessMemory> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const bytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? Number.NaN) * 1024;
  return { resident: bytes('VmRSS'), peak: bytes('VmHWM') };
}

/** Has the peak begin anew from what the process holds now. */
export async function resetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}

/** The most that a process and all that it has started held, in bytes: what they share is counted for each. */
export async function treePeakBytes(pid: number): Promise<number> {
  return sumOverTree(pid, async (one) => (await memoryOf(one)).peak);
}

/** What a process and all that it has started hold now, in bytes: of what several share, each has its part. */
export async function treeResidentBytes(pid: number): Promise<number> {
  return sumOverTree(pid, async (one) => {
    const sizes = await readFile(`/proc/${one}/smaps_rollup`, 'utf8');
    return Number(/^Pss:\s+(\d+) kB$/m.exec(sizes)?.[1] ?? Number.NaN) * 1024;
  });
}

/** Has the peaks of a process and of all that it has started begin anew. */
export async function resetTreePeak(pid: number): Promise<void> {
  await Promise.all((await processesOf(pid)).map((one) => resetPeak(one).catch(() => {})));
}

/** One that has ended meanwhile counts nothing. */
async function sumOverTree(pid: number, of: (pid: number) => Promise<number>): Promise<number> {
  const all = await Promise.all((await processesOf(pid)).map((one) => of(one).catch(() => 0)));
  return all.reduce((sum, bytes) => sum + bytes, 0);
}

interface Times {
  readonly name: string;
  /** Seconds. */
  readonly own: number;
  /** Of children that have ended and were waited for, in seconds. */
  readonly ended: number;
}

const noTimes: Times = { name: '', own: 0, ended: 0 };

async function readTimes(pid: number, folder = ''): Promise<Times> {
  const line = await readFile(`/proc/${pid}/${folder}stat`, 'utf8');
  // The name is in parentheses, and may hold any character itself.
  const nameEnd = line.lastIndexOf(')');
  const fields = line.slice(nameEnd + 2).split(' ');
  const seconds = (index: number): number => Number(fields[index]) / ticksPerSecond;
  return {
    name: line.slice(line.indexOf('(') + 1, nameEnd),
    own: seconds(11) + seconds(12),
    ended: seconds(13) + seconds(14),
  };
}

async function readChildren(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`);
  const lists = await Promise.all(
    threads.map((thread) =>
      readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => ''),
    ),
  );
  return lists.flatMap((list) => list.split(' ').filter(Boolean).map(Number));
}
