import type { FieldChecks } from '../../domain/field-checks.ts';
import { quoted } from '../../domain/quoted.ts';

/** A span of values: from the first on, up to but without the second. */
export interface Span {
  readonly from: number | undefined;
  readonly until: number | undefined;
  /** Whether those in it are wanted, or all others. */
  readonly isWanted: boolean;
}

const comparisons = ['eq', 'neq', 'gt', 'gte', 'lt', 'lte'] as const;

/** The words that a filter names: one, or several after `in:`, with commas between; one with a comma in quotes. */
export function wordsIn(checks: FieldChecks, field: string, value: string): readonly string[] {
  const operator = /^(?:in|eq):/.exec(value)?.[0] ?? '';
  let rest = value.slice(operator.length);
  if (operator !== 'in:') {
    const { operator: comparison } = comparisonIn(value);
    if (comparison !== 'eq') {
      checks.add(field, `cannot be compared by ${comparison}: send a word, or several after in:`);
    }
    return [rest];
  }
  const words: string[] = [];
  for (;;) {
    const found = /^"((?:[^"\\]|\\.)*)"(,|$)/.exec(rest) ?? /^([^",]*)(,|$)/.exec(rest);
    if (found === null) {
      checks.add(
        field,
        `must have quotation marks around whole words, with commas between, not ${quoted(value)}`,
      );
      return words;
    }
    const [whole, word = '', comma] = found;
    words.push(whole.startsWith('"') ? word.replaceAll(/\\(.)/g, '$1') : word);
    if (comma === '') {
      return words;
    }
    rest = rest.slice(whole.length);
  }
}

/** The time that a filter compares with, such as `gte:2026-11-26T00:00:00Z`; without an operator, just that. */
export function timeSpan(checks: FieldChecks, field: string, value: string): Span {
  const { operator, rest } = comparisonIn(value);
  const time = timeOf(rest);
  // Not "time < …", which would let NaN through.
  if (!(time >= firstTime && time < lastSecond)) {
    checks.add(
      field,
      `must be a time such as 2026-11-26T12:00:00Z, or one after ${comparisons.join(':, ')}:, not ${quoted(value)}`,
    );
    return { from: undefined, until: undefined, isWanted: true };
  }
  // Times are told in whole seconds, so that is how they are compared with one that is told so.
  return spanOf(operator, time, time % 1000 === 0 ? 1000 : 1);
}

/** The number that a filter compares with: `5`, or `gt:5`. */
export function numberSpan(checks: FieldChecks, field: string, value: string): Span {
  const { operator, rest } = comparisonIn(value);
  if (!/^\d{1,15}$/.test(rest)) {
    checks.add(
      field,
      `must be a whole number, or one after ${comparisons.join(':, ')}:, not ${quoted(value)}`,
    );
    return { from: undefined, until: undefined, isWanted: true };
  }
  return spanOf(operator, Number(rest), 1);
}

const isoTime = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:\d\d)?)?$/;

/** What PostgreSQL and JavaScript write in the same way, with room for a second more. */
const firstTime = Date.parse('0001-01-01T00:00:00Z');
const lastSecond = Date.parse('9999-12-31T23:59:59Z');

/** ms since 1970; of UTC where no zone is told, as in Glance. NaN for what is no time. */
function timeOf(text: string): number {
  const [, day, time = '00:00', zone = 'Z'] = isoTime.exec(text) ?? [];
  return day === undefined ? Number.NaN : Date.parse(`${day}T${time}${zone}`);
}

function comparisonIn(value: string): {
  readonly operator: (typeof comparisons)[number];
  readonly rest: string;
} {
  const operator = comparisons.find((word) => value.startsWith(`${word}:`));
  return operator === undefined
    ? { operator: 'eq', rest: value }
    : { operator, rest: value.slice(operator.length + 1) };
}

/** @param unit how far the value reaches. */
function spanOf(operator: (typeof comparisons)[number], value: number, unit: number): Span {
  const end = value + unit;
  switch (operator) {
    case 'eq':
      return { from: value, until: end, isWanted: true };
    case 'neq':
      return { from: value, until: end, isWanted: false };
    case 'gt':
      return { from: end, until: undefined, isWanted: true };
    case 'gte':
      return { from: value, until: undefined, isWanted: true };
    case 'lt':
      return { from: undefined, until: value, isWanted: true };
    case 'lte':
      return { from: undefined, until: end, isWanted: true };
  }
}
