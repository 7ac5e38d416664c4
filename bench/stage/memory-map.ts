import { readFile } from 'node:fs/promises';

/** Where the resident memory of a process is, in bytes, by who asked the kernel for it. */
export interface MemoryMap {
  /** Code and data of programs and libraries, most of it shared with other processes. */
  readonly files: number;
  /** glibc's malloc: what is before the program break, and the arenas of other threads. */
  readonly malloc: number;
  /** What was mapped for itself: V8's heap, buffers of mmap, stacks. */
  readonly anonymous: number;
}

interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly isFile: boolean;
  readonly isBreak: boolean;
  readonly isAccessible: boolean;
  readonly resident: number;
}

/** glibc reserves so much address space for an arena that is not the main one, aligned to its size. */
const arenaBytes = 64n * 1024n * 1024n;

/** Reads where a process has its memory now. */
export async function memoryMapOf(pid: number): Promise<MemoryMap> {
  const mappings = parse(await readFile(`/proc/${pid}/smaps`, 'utf8'));
  const sums = { files: 0, malloc: 0, anonymous: 0 };
  mappings.forEach((mapping, index) => {
    const { isFile, isBreak, resident } = mapping;
    const inArena = isArena(mapping, mappings[index + 1]);
    sums[isFile ? 'files' : isBreak || inArena ? 'malloc' : 'anonymous'] += resident;
  });
  return sums;
}

/** An arena is what may be used of it, and behind that what may not yet. */
function isArena({ start, end }: Mapping, next: Mapping | undefined): boolean {
  const isWhole = end - start === arenaBytes;
  const goesOn = next?.start === end && !next.isAccessible && next.end - start === arenaBytes;
  return start % arenaBytes === 0n && (isWhole || goesOn);
}

function parse(smaps: string): Mapping[] {
  const head = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+) *(.*)$/;
  const mappings: Mapping[] = [];
  let lines: RegExpExecArray | undefined;
  for (const line of smaps.split('\n')) {
    const found = head.exec(line);
    lines = found ?? lines;
    const resident = /^Rss: +(\d+) kB$/.exec(line)?.[1];
    if (resident !== undefined && lines) {
      const [, start = '', end = '', access = '', inode = '', path = ''] = lines;
      mappings.push({
        start: BigInt(`0x${start}`),
        end: BigInt(`0x${end}`),
        isFile: inode !== '0',
        isBreak: path === '[heap]',
        isAccessible: !access.startsWith('---'),
        resident: Number(resident) * 1024,
      });
    }
  }
  return mappings;
}
