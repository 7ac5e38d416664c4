import { expect, test } from 'vitest';
import {
  ageText,
  bytesText,
  durationText,
  percentText,
  timeText,
} from '../../../src/cli/output/amounts.ts';

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1024 * 1024 - 1, '1.0 MiB'],
  [1_610_612_736n, '1.5 GiB'],
  [2 ** 60, '1024.0 PiB'],
])('%d bytes are %s', (bytes, text) => {
  expect(bytesText(bytes)).toBe(text);
});

test.each([
  [0, 10, '0 %'],
  [999, 1000, '99 %'],
  [1000, 1000, '100 %'],
  [0, 0, '100 %'],
  [11, 10, '100 %'],
])('%d of %d is %s, and 100 only where it is all', (part, whole, text) => {
  expect(percentText(part, whole)).toBe(text);
});

test.each([
  [0, '0 ms'],
  [850, '850 ms'],
  [59_600, '1 min'],
  [192_000, '3 min 12 s'],
  [7_500_000, '2 h 5 min'],
  [273_600_000, '3 d 4 h'],
])('%d ms are %s', (ms, text) => {
  expect(durationText(ms)).toBe(text);
});

test.each([
  [1000, 'now'],
  [42_000, '42 s'],
  [3_599_000, '59 min'],
  [86_400_000, '1 d'],
  [-5000, 'now'],
])('what was %d ms ago is of the age %s', (ago, text) => {
  const now = new Date('2026-11-27T04:00:00Z');
  expect(ageText(new Date(now.getTime() - ago), now)).toBe(text);
});

test('times are those of the reader', () => {
  expect(timeText(new Date(2026, 0, 2, 3, 4, 5))).toBe('2026-01-02 03:04:05');
});
