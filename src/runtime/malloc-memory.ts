import { setTimeout as sleep } from 'node:timers/promises';

const MiB = 1024 * 1024;

/** When freed memory is given back; in ms and bytes. */
export interface GivingBack {
  /** Between two looks at what the process holds. */
  readonly intervalMs: number;
  /** The same after a look that brought little: what is held is in use. */
  readonly patienceMs: number;
  /** A process that holds no more is left alone: little of it can be free. */
  readonly enoughBytes: number;
  /** Less than that is little. */
  readonly worthwhileBytes: number;
}

/**
 * A service holds 110 MiB after its start. One that comes to rest is collected by V8 within some 8 s, and has given all back 20 s
 * later. While it works, what is given back is soon asked for again: 100 MiB cost some 20 ms of CPU.
 */
const usual: GivingBack = {
  intervalMs: 10_000,
  patienceMs: 20_000,
  enoughBytes: 144 * MiB,
  worthwhileBytes: 16 * MiB,
};

/** `malloc_trim` of glibc. */
type Trim = () => Promise<void>;

/**
 * Has memory that was freed given back to the kernel, for as long as this process lives. Call once.
 *
 * What the network brings, and much of what is sent, lies in memory of malloc, in pieces of up to 64 KiB. When they are freed
 * glibc keeps them: it gives back what lies above all that is in use, and anything small that is in use above them
 * pins them. After 16 uploads at once 443 MiB were resident, of which 250 were free and 7 in use below the same break; after
 * `malloc_trim` 186. It cannot be had otherwise: `MALLOC_TRIM_THRESHOLD_`, one arena and none of the caches of threads left
 * as much, and `MALLOC_MMAP_THRESHOLD_=65536`, which does give them back, took 1.4 times the CPU of an upload.
 *
 * Only glibc has such a function, and only it needs one: elsewhere, and where koffi could not be installed, nothing happens.
 */
export function giveBackFreedMemory(giving: GivingBack = usual): void {
  void run(giving);
}

/** Never rejects. */
async function run(giving: GivingBack): Promise<void> {
  const { intervalMs, patienceMs, enoughBytes, worthwhileBytes } = giving;
  const resident = (): number => process.memoryUsage.rss();
  let trim: Trim | undefined;
  for (let pauseMs = intervalMs; ;) {
    await sleep(pauseMs, undefined, { ref: false });
    pauseMs = intervalMs;
    const before = resident();
    if (before > enoughBytes) {
      // Not before it is needed: it takes memory itself.
      trim ??= await findTrim();
      if (trim === undefined) {
        return;
      }
      await trim();
      pauseMs = before - resident() < worthwhileBytes ? patienceMs : intervalMs;
    }
  }
}

async function findTrim(): Promise<Trim | undefined> {
  try {
    const { default: koffi } = await import('koffi');
    const mallocTrim = koffi.load('libc.so.6').func('int malloc_trim(size_t pad)');
    // On a thread: the kernel takes some 40 µs to take a MiB.
    return () => new Promise((resolve) => mallocTrim.async(0, () => resolve()));
  } catch {
    return undefined;
  }
}
