import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FieldChecks } from '../../../src/domain/field-checks.ts';
import {
  watchIntervals,
  type WatchIntervals,
} from '../../../src/tasks/watching/watch-intervals.ts';

function intervals(heartbeatIntervalMs: number, reader?: string): WatchIntervals {
  return watchIntervals(new FieldChecks(), {
    progressIntervalMs: undefined,
    heartbeatIntervalMs,
    reader,
  });
}

const interval = fc.integer({ min: 1000, max: 3_600_000 });
const time = fc.double({ min: 0, max: 1e9, noNaN: true });

test('a heartbeat is never later than was wanted, and at most a quarter earlier', () => {
  fc.assert(
    fc.property(interval, time, fc.option(fc.string(), { nil: undefined }), (ms, at, reader) => {
      const wait = intervals(ms, reader).heartbeatAfter(at) - at;
      expect(wait).toBeGreaterThanOrEqual(0.75 * ms - 0.001);
      expect(wait).toBeLessThanOrEqual(ms + 0.001);
    }),
  );
});

test('the heartbeats of one reader fall together', () => {
  fc.assert(
    fc.property(interval, time, fc.string(), (ms, at, reader) => {
      const first = intervals(ms, reader).heartbeatAfter(at);
      // Of another watch, whose last message came a little after that of the first.
      const second = intervals(ms, reader).heartbeatAfter(at + 1);
      const apart = second - first;
      expect(Math.min(apart, Math.abs(apart - ms / 4))).toBeLessThan(0.001);
    }),
  );
});
