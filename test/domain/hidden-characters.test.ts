import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { firstHidden, withHiddenEscaped } from '../../src/domain/hidden-characters.ts';
import { quoted } from '../../src/domain/quoted.ts';
import { deceivingTexts, legalTexts } from './hidden-texts.ts';

test.for(legalTexts)('%j has nothing hidden', (text) => {
  expect(firstHidden(text)).toBeUndefined();
  expect(withHiddenEscaped(text)).toBe(text);
  expect(quoted(text)).toBe(JSON.stringify(text));
});

test.for(deceivingTexts)('%s is hidden', ([name, text]) => {
  expect(firstHidden(text)).toBe(name);
  expect(JSON.parse(`"${withHiddenEscaped(text)}"`)).toBe(text);
  expect(JSON.parse(quoted(text))).toBe(text);
  expect(firstHidden(quoted(text))).toBeUndefined();
});

test('of any text the hidden is escaped, and of any JSON the same JSON is left', () => {
  const piece = fc.constantFrom(
    ...legalTexts,
    ...deceivingTexts.map(([, text]) => text),
    '"',
    '\\',
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(piece).map((pieces) => pieces.join('')),
  );
  fc.assert(
    fc.property(text, (text) => {
      expect(firstHidden(withHiddenEscaped(text))).toBeUndefined();
      const json = JSON.stringify({ text });
      expect(JSON.parse(withHiddenEscaped(json))).toEqual({ text });
      expect(firstHidden(quoted(text))).toBeUndefined();
    }),
    { numRuns: 500 },
  );
});

test('long texts of what is hidden are escaped in time', () => {
  for (const character of ['\u202e', '\u200d', '\ufe0f', '\u{e0061}', '\u{1f3f4}\u{e0061}']) {
    expect(withHiddenEscaped(character.repeat(100_000)).length).toBeGreaterThan(100_000);
  }
});

describe('a quote', () => {
  test('is cut at 64 characters, not within one', () => {
    expect(quoted('x'.repeat(64))).toBe(`"${'x'.repeat(64)}"`);
    expect(quoted('😀'.repeat(64))).toBe(`"${'😀'.repeat(64)}"`);
    expect(quoted('😀'.repeat(65))).toBe(`"${'😀'.repeat(64)}…"`);
    expect(quoted(`x${'😀'.repeat(1000)}`)).toBe(`"x${'😀'.repeat(63)}…"`);
  });
});
