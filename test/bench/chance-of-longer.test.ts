import { expect, test } from 'vitest';
import { chanceOfLonger } from '../../bench/report/chance-of-longer.ts';

test.each([
  [[3, 4], [1, 2], 1],
  [[1, 2], [3, 4], 0],
  [[1, 2, 3], [1, 2, 3], 0.5],
  [[5, 5, 5], [5, 5], 0.5],
  [[1, 4], [2, 3], 0.5],
  [[2, 4], [1, 3], 0.75],
  [[2], [1, 2, 3], 0.5],
])('of %j against %j the share of longer ones is counted pair by pair', (values, others, share) => {
  const pairs = values.flatMap((value) => others.map((other) => Math.sign(value - other)));
  const counted = pairs.reduce((sum, sign) => sum + (sign + 1) / 2, 0) / pairs.length;
  expect(chanceOfLonger(values, others).share).toBeCloseTo(share);
  expect(counted).toBeCloseTo(share);
});

test('the error is that of the share among so many that are alike', () => {
  expect(
    chanceOfLonger(Array(100).fill(1) as number[], Array(100).fill(1) as number[]).error,
  ).toBeCloseTo(Math.sqrt(201 / 120_000));
});
