import type { Measurements } from '../measurements.ts';

/** The least ratio to the baseline that a run may show. */
export interface Floor {
  /** Is in the name of the case. */
  readonly name: string;
  readonly metric: string;
  /** How many times the baseline. */
  readonly least: number;
}

/**
 * About a third of what is usual: a shared machine doubles and halves what is measured, and a defect that makes uploads
 * copy each byte twice, or asks the database for each chunk, goes below.
 */
export const quickFloors: readonly Floor[] = [
  { name: 'one stream', metric: 'MiB/s', least: 0.5 },
  { name: 'CreateImage, 16 callers', metric: 'calls/s', least: 0.01 },
  { name: 'GetImage, 16 callers', metric: 'calls/s', least: 0.02 },
];

/** What is below its floor, in words; empty if nothing is. */
export function belowFloor(measurements: Measurements, floors: readonly Floor[]): string[] {
  return measurements.report().cases.flatMap(({ name, metrics }) =>
    metrics.flatMap(({ metric, subject, ratio }) =>
      floors
        .filter((floor) => name.includes(floor.name) && floor.metric === metric)
        .filter(({ least }) => ratio !== undefined && ratio < least)
        .map(
          ({ least }) =>
            `${name}: ${subject} has ${ratio?.toFixed(3)} times the ${metric} of the baseline, and ${least} is the least`,
        ),
    ),
  );
}
