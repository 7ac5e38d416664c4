/** How often one of some values is larger than one of others. */
export interface ChanceOfLonger {
  /** Of all pairs, those in which it is larger, and half of those that are equal: 0.5 where they cannot be told apart. */
  readonly share: number;
  /** The standard error of that share, if they are of one distribution. */
  readonly error: number;
}

/**
 * Compares two samples by their ranks, by the test of Mann and Whitney: whatever the distributions are like, and however far
 * off the worst values are.
 */
export function chanceOfLonger(
  values: readonly number[],
  others: readonly number[],
): ChanceOfLonger {
  const all = [
    ...values.map((value) => ({ value, isOne: true })),
    ...others.map((value) => ({ value, isOne: false })),
  ].sort((a, b) => a.value - b.value);
  let ranks = 0;
  for (let start = 0; start < all.length;) {
    let end = start;
    while (end < all.length && all[end]?.value === all[start]?.value) {
      end += 1;
    }
    // Equal values share the mean of their ranks, which begin with 1.
    const rank = (start + 1 + end) / 2;
    ranks += rank * all.slice(start, end).filter(({ isOne }) => isOne).length;
    start = end;
  }
  const [n, m] = [values.length, others.length];
  return {
    share: (ranks - (n * (n + 1)) / 2) / (n * m),
    error: Math.sqrt((n + m + 1) / (12 * n * m)),
  };
}
