import { expect, test } from 'vitest';
import { accepts } from '../../../src/server/http/accepts.ts';

test.for([
  ['text/html', 'text/html', true],
  ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'text/html', true],
  ['application/json, Text/HTML ; q=0.2', 'text/html', true],
  ['*/*', 'text/html', false],
  ['text/*', 'text/html', false],
  ['text/html;q=0', 'text/html', false],
  ['text/html; level=1; q=0.000', 'text/html', false],
  ['text/html;q=0.001', 'text/html', true],
  ['text/html5', 'text/html', false],
  ['', 'text/html', false],
  [undefined, 'text/html', false],
  ['gzip, br', 'br', true],
  ['x-br', 'br', false],
] as const)('%s names %s: %s', ([list, name, isNamed]) => {
  expect(accepts(list, name)).toBe(isNamed);
});
