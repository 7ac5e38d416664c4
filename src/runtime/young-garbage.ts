import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Bytes of buffers between two collections. They are buffers that die young, and what has not been
 * collected of them is memory that the process holds.
 */
const collectEveryBytes = 16 * 1024 * 1024;

/** A byte that is sent was read into a buffer, is encoded twice, message in message, and put into an envelope. */
const buffersOfSentByte = 4;

let collectYoung: (() => void) | undefined;
let sinceCollection = 0;

/**
 * Has V8 collect the buffers of what comes in and goes out by cheap scavenges, each about 1 ms, and not by
 * marking the whole heap. By default V8 starts a full collection for every 64 MiB of buffers, however few of
 * them are alive: 55 for 1 GiB of an upload. Call once, before serving.
 */
export function collectYoungGarbageOften(): void {
  // Buffers then count as any other memory, and the next full collection comes when all is three times what
  // was alive after the last. Left to itself V8 chooses that factor by how fast objects are made, which with
  // few objects and much in buffers is so low that one full collection can follow on the other.
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  setFlagsFromString('--heap-growing-percent=200');
  // A process that comes to rest is collected once more, to give back memory. V8 would then move up to 12 MiB of what is alive,
  // twice, and nothing else happens meanwhile: with 10,000 watchers for 26 to 33 ms, on busy cores for up to 290 ms. As in any
  // other full collection it moves 4 MiB at most. And once is enough: each costs some 0.3 s of CPU.
  setFlagsFromString('--no-memory-reducer-favors-memory');
  setFlagsFromString('--memory-reducer-gc-count=1');
  // Never taken back: flags are the whole process's, and another thread may be just here.
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as (options: { type: 'minor'; execution: 'sync' }) => void;
  collectYoung = () => gc({ type: 'minor', execution: 'sync' });
}

/** Says that bytes came in, from the network or another thread. */
export function bytesCameIn(bytes: number): void {
  sinceCollection += bytes;
  if (sinceCollection >= collectEveryBytes) {
    sinceCollection = 0;
    collectYoung?.();
  }
}

/** Says that bytes of an answer were handed to the network. */
export function bytesWentOut(bytes: number): void {
  bytesCameIn(bytes * buffersOfSentByte);
}
