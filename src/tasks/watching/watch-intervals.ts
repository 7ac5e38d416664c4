import type { FieldChecks } from '../../domain/field-checks.ts';

/** How often a watch speaks, in ms. */
export interface WatchIntervals {
  /** The least time between two progress messages of one task. */
  readonly progressMs: number;
  /** How long nothing else comes before a heartbeat does: a little less than was wanted. */
  readonly heartbeatMs: number;
}

/** How often a caller wants a watch to speak: ms, unchecked; undefined for the default. */
export interface WantedIntervals {
  readonly progressIntervalMs: number | undefined;
  readonly heartbeatIntervalMs: number | undefined;
}

/**
 * Heartbeats of one watch come up to this part of their interval early. Watches that began together, as after
 * a restart, would else all have theirs in one instant: ten thousand of them hold the process up for a second.
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
  const heartbeatMs = heartbeatIntervalMs * (1 - Math.random() * heartbeatSpread);
  return { progressMs: progressIntervalMs, heartbeatMs };
}
