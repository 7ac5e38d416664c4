import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pageBytes, splitZeroRuns } from '../../src/storage/zero-run.ts';

/** Pieces of zeros and of data around the size of a page, so that runs begin and end everywhere. */
const piece = fc.record({
  length: fc.oneof(
    fc.integer({ min: 0, max: 40 }),
    fc.integer({ min: pageBytes - 2, max: pageBytes + 2 }),
    fc.integer({ min: 0, max: 4 * pageBytes }),
  ),
  fill: fc.constantFrom(0, 0, 1, 255),
});
const buffer = fc
  .array(piece, { maxLength: 6 })
  .map((pieces) => Buffer.concat(pieces.map(({ length, fill }) => Buffer.alloc(length, fill))));
const position = fc.oneof(
  fc.constantFrom(0, 1, pageBytes - 1, pageBytes, 2 ** 40 + 3, Number.MAX_SAFE_INTEGER - 2 ** 20),
  fc.nat({ max: 3 * pageBytes }),
);

/** The starts of all whole aligned pages that hold zeros only, byte by byte. */
function zeroPages(data: Uint8Array, at: number): number[] {
  const pages: number[] = [];
  for (let start = 0; start + pageBytes <= data.length; start++) {
    const isAligned = (at + start) % pageBytes === 0;
    if (isAligned && data.subarray(start, start + pageBytes).every((byte) => byte === 0)) {
      pages.push(start);
    }
  }
  return pages;
}

test('runs cover a buffer in order, and its zero runs are just its whole aligned zero pages', () => {
  fc.assert(
    fc.property(buffer, position, (data, at) => {
      const runs = splitZeroRuns(data, at);

      let covered = 0;
      for (const { start, end } of runs) {
        expect(start).toBe(covered);
        expect(end).toBeGreaterThan(start);
        covered = end;
      }
      expect(covered).toBe(data.length);

      const told: number[] = [];
      for (const { start, end } of runs.filter(({ kind }) => kind === 'zeros')) {
        expect((end - start) % pageBytes).toBe(0);
        for (let page = start; page < end; page += pageBytes) {
          told.push(page);
        }
      }
      expect(told).toEqual(zeroPages(data, at));
    }),
    { numRuns: 300 },
  );
});

test('neighbouring runs are of different kinds', () => {
  fc.assert(
    fc.property(buffer, position, (data, at) => {
      const kinds = splitZeroRuns(data, at).map(({ kind }) => kind);
      expect(kinds.some((kind, index) => kind === kinds[index + 1])).toBe(false);
    }),
  );
});

test('an empty buffer has no runs', () => {
  expect(splitZeroRuns(new Uint8Array(), 0)).toEqual([]);
});

test('a page of zeros that a single byte breaks, wherever it is, is data', () => {
  for (const broken of [0, 1, 2, 2048, pageBytes - 2, pageBytes - 1]) {
    const data = new Uint8Array(pageBytes);
    data[broken] = 1;
    expect(splitZeroRuns(data, 0)).toEqual([{ kind: 'data', start: 0, end: pageBytes }]);
  }
});
