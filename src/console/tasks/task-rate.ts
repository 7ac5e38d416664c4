/** How fast something goes, as it was seen lately. */
export interface Pace {
  /** Bytes a second. */
  readonly rate: number;
  readonly bytes: number;
  readonly timeMs: number;
}

/** Over how long speeds are smoothed, in ms. */
const memoryMs = 5000;

/**
 * The pace after one more look. What stands still becomes slower and slower; what goes back, as an upload that is begun anew,
 * has no pace yet.
 */
export function paceAfter(before: Pace | undefined, bytes: number, timeMs: number): Pace {
  if (before === undefined || bytes < before.bytes) {
    return { rate: 0, bytes, timeMs };
  }
  const elapsedMs = timeMs - before.timeMs;
  if (elapsedMs < 200) {
    return before;
  }
  const rate = ((bytes - before.bytes) * 1000) / elapsedMs;
  const weight = before.rate === 0 ? 1 : 1 - Math.exp(-elapsedMs / memoryMs);
  return { rate: before.rate + weight * (rate - before.rate), bytes, timeMs };
}

/** How long the rest takes at this pace, in ms; undefined where nobody can say. */
export function leftMs(pace: Pace | undefined, totalBytes: bigint | undefined): number | undefined {
  if (pace === undefined || totalBytes === undefined || pace.rate < 1) {
    return undefined;
  }
  const rest = Number(totalBytes) - pace.bytes;
  return rest <= 0 ? undefined : (rest * 1000) / pace.rate;
}
