import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hasTooManyMarks, JsonMeasure, maxJsonMarks } from '../../src/domain/json-measure.ts';

/** As slowly and plainly as can be. */
function marksOf(json: string): number {
  let marks = 0;
  for (let i = 0, isInString = false; i < json.length; i += 1) {
    const char = json[i]!;
    if (isInString) {
      i += char === '\\' ? 1 : 0;
      isInString = char !== '"';
    } else {
      isInString = char === '"';
      marks += ',:[{'.includes(char) ? 1 : 0;
    }
  }
  return marks;
}

/** As many marks as are read, less those that are to be counted, come first. */
function isTooMuchAfter(rest: number, pieces: readonly Uint8Array[]): boolean {
  const measure = new JsonMeasure();
  measure.take(Buffer.from(','.repeat(maxJsonMarks - rest)));
  pieces.forEach((piece) => measure.take(piece));
  return measure.isTooMuch;
}

function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const ends = [...at.map((one) => one % (bytes.byteLength + 1)), bytes.byteLength].toSorted(
    (a, b) => a - b,
  );
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
}

/** Of what decides: quotes, escapes, marks, and bytes that are none of them. */
const nonsense = fc
  .array(fc.constantFrom('"', '\\', '\\\\', '\\"', ',', ':', '[', '{', ']', '}', 'a', 'é', ' '), {
    maxLength: 60,
  })
  .map((parts) => parts.join(''));

test.each([
  ['JSON', fc.json()],
  ['anything', nonsense],
])('counts the same in whatever pieces it comes: %s', (_, texts) => {
  fc.assert(
    fc.property(texts, fc.array(fc.nat(), { maxLength: 9 }), (text, at) => {
      const marks = marksOf(text);
      const pieces = cut(Buffer.from(text), at);
      expect(isTooMuchAfter(marks, pieces)).toBe(false);
      if (marks > 0) {
        expect(isTooMuchAfter(marks - 1, pieces)).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});

test('what stands in a string is no mark, however long and however escaped', () => {
  const text = (of: string): Uint8Array => Buffer.from(`{"a":"${of.repeat(100_000)}"}`);
  expect([',[{:', '\\"', '\\\\', '\\\\\\"', 'é'].map((of) => hasTooManyMarks(text(of)))).toEqual([
    false,
    false,
    false,
    false,
    false,
  ]);
  expect(hasTooManyMarks(text('","'))).toBe(true);
});
