import { expect, test } from 'vitest';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import { FieldChecks } from '../../src/domain/field-checks.ts';
import { checkSourceHeaders } from '../../src/imports/source-headers.ts';

/** What is wrong with headers, a text for each. */
function problems(headers: Record<string, string>): string[] {
  const checks = new FieldChecks();
  checkSourceHeaders(checks, 'headers', headers);
  try {
    checks.settle({});
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(DarkroomError);
    return (error as DarkroomError).fieldViolations.map(
      ({ field, description }) => `${field} ${description}`,
    );
  }
}

test('are taken as they are', () => {
  expect(
    problems({ Authorization: 'Bearer abc', 'X-Auth-Token': 'x y\tz', Cookie: 'a=b; c="d"' }),
  ).toEqual([]);
});

test.each([
  ['a name that is none', { 'a b': 'x' }],
  ['an empty name', { '': 'x' }],
  ['a line break in a name', { 'a\r\nb': 'x' }],
  ['a line break in a value', { a: 's3cret\r\nHost: evil' }],
  ['a NUL', { a: 's3cret\0' }],
  ['an empty value', { a: '' }],
  ['what is not ASCII', { a: 's3crét' }],
  ['what frames the message', { 'Transfer-Encoding': 's3cret' }],
  ['the host', { host: 's3cret' }],
  ['a range', { Range: 's3cret' }],
  ['the same twice', { Cookie: 's3cret', cookie: 's3cret' }],
])('%s is refused, without telling the value', (_, headers) => {
  const found = problems(headers);
  expect(found).toHaveLength(1);
  expect(found.join()).not.toContain('s3cr');
});

test('too many, or too large, are refused', () => {
  const many = Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`x-${i}`, 'y']));
  expect(problems(many)).toHaveLength(1);
  expect(problems({ x: 'y'.repeat(9000) })).toHaveLength(1);
});
