import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Bytes that come in between two collections. They are buffers that die young, and what has not been
 * collected of them is memory that the process holds.
 */
const collectEveryBytes = 16 * 1024 * 1024;

let collectYoung: (() => void) | undefined;
let sinceCollection = 0;

/**
 * Has V8 collect the buffers of network reads by cheap scavenges, each about 1 ms, and not by marking the
 * whole heap. By default V8 starts a full collection for every 64 MiB of buffers, however few of them
 * are alive: at full upload speed eleven a second, which took more than half of all CPU time (of an upload
 * of 1 GiB 9.6 s instead of 4.0 s, `npm run bench -- upload`). Call once, before serving.
 */
export function collectYoungGarbageOften(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as (options: { type: 'minor'; execution: 'sync' }) => void;
  setFlagsFromString('--no-expose-gc');
  collectYoung = () => gc({ type: 'minor', execution: 'sync' });
}

/** Says that bytes came in from the network. */
export function bytesCameIn(bytes: number): void {
  sinceCollection += bytes;
  if (sinceCollection >= collectEveryBytes) {
    sinceCollection = 0;
    collectYoung?.();
  }
}
