import { crc32 } from 'node:zlib';
import type { FieldChecks } from '../../domain/field-checks.ts';

/** How often a watch speaks. */
export interface WatchIntervals {
  /** The least time between two progress messages of one task, in ms. */
  readonly progressMs: number;
  /** When a heartbeat is due if nothing else comes after a message that was taken at a time, by `performance.now()`. */
  heartbeatAfter(time: number): number;
}

/** How often a caller wants a watch to speak: ms, unchecked; undefined for the default. */
export interface WantedIntervals {
  readonly progressIntervalMs: number | undefined;
  readonly heartbeatIntervalMs: number | undefined;
  /** Watches of one reader, such as a connection, have their heartbeats together. Undefined for a reader of its own. */
  readonly reader?: string | undefined;
}

/**
 * Heartbeats come up to this part of their interval early. Watches that began together, as after a restart, would else all
 * have theirs in one instant: ten thousand of them hold the process up. Those of one connection are to have theirs together,
 * for one write to the socket: 200 streams a write cost 9 µs each, one stream a write 60 to 90.
 */
const heartbeatSpread = 0.25;

const second = 1000;
const hour = 3600 * second;

/** The intervals of a watch: progress 100 ms to 1 h, heartbeats 1 s to 1 h. Notes what is out of range. */
export function watchIntervals(checks: FieldChecks, wanted: WantedIntervals): WatchIntervals {
  const { progressIntervalMs = second, heartbeatIntervalMs = 15 * second } = wanted;
  // Not "ms < 100 || …", which would let NaN through.
  if (!(progressIntervalMs >= 100 && progressIntervalMs <= hour)) {
    checks.add('progress_interval', 'must be from 100 ms to 1 h (0.1 s to 3600 s)');
  }
  if (!(heartbeatIntervalMs >= second && heartbeatIntervalMs <= hour)) {
    checks.add('heartbeat_interval', 'must be from 1 s to 1 h (3600 s)');
  }
  return new Intervals(progressIntervalMs, heartbeatIntervalMs, phaseOf(wanted.reader));
}

/** Some part of 1, the same for the same reader. */
function phaseOf(reader: string | undefined): number {
  return reader === undefined ? Math.random() : crc32(reader) / 2 ** 32;
}

class Intervals implements WatchIntervals {
  readonly progressMs: number;
  readonly #heartbeatMs: number;
  readonly #phase: number;

  constructor(progressMs: number, heartbeatMs: number, phase: number) {
    this.progressMs = progressMs;
    this.#heartbeatMs = heartbeatMs;
    this.#phase = phase;
  }

  heartbeatAfter(time: number): number {
    // The first of the reader's instants that is not too early: they lie as far apart as a heartbeat may be early.
    const spread = this.#heartbeatMs * heartbeatSpread;
    const earliest = time + this.#heartbeatMs - spread;
    return (Math.ceil(earliest / spread - this.#phase) + this.#phase) * spread;
  }
}
