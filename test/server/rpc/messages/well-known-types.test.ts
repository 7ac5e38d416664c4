import { create } from '@bufbuild/protobuf';
import { DurationSchema, TimestampSchema } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import {
  dateOf,
  durationOf,
  millisecondsOf,
  numberOf,
} from '../../../../src/server/rpc/messages/well-known-types.ts';

test.each([
  [0n, 0, 0],
  [1n, 1_000_000, 1001],
  [1n, 1, 1001],
  [-1n, 999_000_000, -1],
  [-62_135_596_800n, 0, -62_135_596_800_000],
  [253_402_300_799n, 999_000_000, 253_402_300_799_999],
])('the time %d s and %d ns is %d ms', (seconds, nanos, ms) => {
  expect(dateOf(create(TimestampSchema, { seconds, nanos })).getTime()).toBe(ms);
});

test.each([
  [-62_135_596_801n, 0],
  [253_402_300_800n, 0],
  [2n ** 63n - 1n, 0],
  [0n, -1],
  [0n, 1_000_000_000],
])('%d s and %d ns is no time', (seconds, nanos) => {
  expect(dateOf(create(TimestampSchema, { seconds, nanos })).getTime()).toBeNaN();
});

test.each([
  [0n, 0, 0],
  [1n, 500_000_000, 1500],
  [0n, 1, 0.000_001],
  [-1n, -500_000_000, -1500],
  [0n, -1_000_000, -1],
])('%d s and %d ns last %d ms', (seconds, nanos, ms) => {
  expect(millisecondsOf(create(DurationSchema, { seconds, nanos }))).toBe(ms);
});

test.each([
  [1n, -1],
  [-1n, 1],
  [0n, 1_000_000_000],
])('%d s and %d ns is no duration', (seconds, nanos) => {
  expect(millisecondsOf(create(DurationSchema, { seconds, nanos }))).toBeNaN();
});

test('a duration comes back as it went', () => {
  expect(millisecondsOf(durationOf(61_007))).toBe(61_007);
});

test('a number beyond 2^53 - 1 stays beyond it', () => {
  expect(numberOf(2n ** 53n - 1n)).toBe(Number.MAX_SAFE_INTEGER);
  expect(numberOf(2n ** 53n)).toBeGreaterThan(Number.MAX_SAFE_INTEGER);
  expect(numberOf(-(2n ** 63n))).toBeLessThan(0);
  expect(numberOf(undefined)).toBeUndefined();
});
