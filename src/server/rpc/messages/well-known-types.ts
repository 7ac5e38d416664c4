import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt';
import { create } from '@bufbuild/protobuf';
import { DurationSchema, timestampFromDate } from '@bufbuild/protobuf/wkt';

/** A time for a message; unset where there is none. */
export function timestampOf(date: Date | null | undefined): Timestamp | undefined {
  return date ? timestampFromDate(date) : undefined;
}

/** A span of whole ms for a message. */
export function durationOf(ms: number): Duration {
  return create(DurationSchema, {
    seconds: BigInt(Math.floor(ms / 1000)),
    nanos: (ms % 1000) * 1_000_000,
  });
}

/**
 * The time that a caller sent, rounded up to whole ms, which keeps the meaning of "at or after" and of
 * "before" against times that are stored in ms. An invalid Date where it is no time from year 1 to
 * 9999, as the Timestamp's own rules demand: the domain refuses it.
 */
export function dateOf(timestamp: Timestamp): Date {
  const { seconds, nanos } = timestamp;
  const isValid =
    seconds >= minTimestampSeconds &&
    seconds <= maxTimestampSeconds &&
    nanos >= 0 &&
    nanos <= 999_999_999;
  return new Date(isValid ? Number(seconds) * 1000 + Math.ceil(nanos / 1_000_000) : Number.NaN);
}

/**
 * The ms that a caller sent, with fractions. NaN where seconds and nanos do not go together, as the
 * Duration's own rules demand: the domain refuses it.
 */
export function millisecondsOf(duration: Duration): number {
  const { seconds, nanos } = duration;
  const isValid =
    Math.abs(nanos) <= 999_999_999 && (seconds === 0n || nanos === 0 || seconds > 0n === nanos > 0);
  return isValid ? Number(seconds) * 1000 + nanos / 1_000_000 : Number.NaN;
}

/**
 * The number that a caller sent as an int64. What lies beyond 2^53 - 1 comes out inexact, but beyond it
 * still, so that the domain's limits refuse it.
 */
export function numberOf(value: bigint): number;
export function numberOf(value: bigint | undefined): number | undefined;
export function numberOf(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

const minTimestampSeconds = -62_135_596_800n;
const maxTimestampSeconds = 253_402_300_799n;
