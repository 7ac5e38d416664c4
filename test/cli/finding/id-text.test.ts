import fc from 'fast-check';
import { v7 } from 'uuid';
import { expect, test } from 'vitest';
import {
  canonicalPrefix,
  isId,
  isIdPrefix,
  shortened,
  timesOfPrefix,
} from '../../../src/cli/finding/id-text.ts';

const time = fc.date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true });
const id = time.map((date) => v7({ msecs: date.getTime() }));

test('every beginning of an id from four characters on is one, with and without dashes, in either case', () => {
  fc.assert(
    fc.property(id, fc.integer({ min: 4, max: 35 }), fc.boolean(), (whole, length, isBare) => {
      const text = (isBare ? whole.replaceAll('-', '') : whole).slice(0, length).toUpperCase();
      const isWhole = text.replaceAll('-', '').length === 32;
      expect(isIdPrefix(text)).toBe(text.replaceAll('-', '').length >= 4 && !isWhole);
      expect(whole.startsWith(canonicalPrefix(text))).toBe(true);
      expect(isId(text)).toBe(false);
    }),
  );
});

test.each(['019', 'debian-12', '019a-bc12', 'cafe!', '', '----', '019abc12--'])(
  '%j is no beginning of an id',
  (text) => expect(isIdPrefix(text)).toBe(false),
);

test('where an id was made lies in the times that its beginning tells', () => {
  fc.assert(
    fc.property(time, fc.integer({ min: 4, max: 36 }), (date, length) => {
      const prefix = v7({ msecs: date.getTime() }).slice(0, length);
      const times = timesOfPrefix(prefix);
      if (times !== undefined) {
        expect(times.after.getTime()).toBeLessThanOrEqual(date.getTime());
        expect(times.before.getTime()).toBeGreaterThanOrEqual(date.getTime());
      }
      expect(times !== undefined).toBe(prefix.replaceAll('-', '').length >= 7);
    }),
  );
});

test('ids that begin with no time, such as those that callers choose, are looked for everywhere', () => {
  expect(timesOfPrefix('ffffffff')).toBeUndefined();
});

test('shortened ids tell each from the others', () => {
  fc.assert(
    fc.property(fc.array(id, { maxLength: 20 }), (ids) => {
      const short = shortened(ids);
      for (const whole of ids) {
        const text = short.get(whole)!;
        expect(ids.filter((other) => other.startsWith(text)).every((same) => same === whole)).toBe(
          true,
        );
        expect(isIdPrefix(text) || isId(text)).toBe(true);
      }
    }),
  );
});
