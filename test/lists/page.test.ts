import { expect, test } from 'vitest';
import { pageSize } from '../../src/lists/page.ts';

test.each([
  [0, 100],
  [1, 1],
  [1000, 1000],
  [1001, 1000],
  [2_147_483_647, 1000],
])('a page size of %d gives pages of %d', (requested, size) => {
  expect(pageSize(requested)).toBe(size);
});

test.each([-1, -2_147_483_648, 1.5, Number.NaN])('a page size of %d is refused', (requested) => {
  expect(() => pageSize(requested)).toThrow(
    expect.objectContaining({
      reason: 'FIELD_INVALID',
      fieldViolations: [expect.objectContaining({ field: 'page_size' })],
    }),
  );
});
