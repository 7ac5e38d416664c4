import stringWidth from 'string-width';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { screenOn } from '../../../src/cli/output/screen.ts';
import { cutTo, tableLines, type Column } from '../../../src/cli/output/table.ts';

const screen = (columns?: number, environment = {}) =>
  screenOn(
    columns === undefined ? { write: () => {} } : { write: () => {}, isTTY: true, columns },
    environment,
  );

const columns: Column<readonly [string, string]>[] = [
  { title: 'NAME', cell: ([name]) => name, shrinksTo: 6 },
  { title: 'SIZE', cell: ([, size]) => size, align: 'right' },
];

test('cells stand below their titles, numbers by their ends', () => {
  expect(
    tableLines(
      columns,
      [
        ['a', '1 B'],
        ['longer', '1.0 MiB'],
      ],
      screen(),
    ),
  ).toEqual(['NAME       SIZE', 'a           1 B', 'longer  1.0 MiB']);
});

test('characters that take two places are counted as two', () => {
  const lines = tableLines(
    columns,
    [
      ['磁盘镜像', '1 B'],
      ['🇩🇪', '2 B'],
    ],
    screen(),
  );
  expect(new Set(lines.map((line) => stringWidth(line)))).toEqual(new Set([14]));
});

test('on a terminal what may shrink is cut to fit; in a pipe nothing is', () => {
  const rows = [['x'.repeat(60), '1 B']] as const;
  expect(tableLines(columns, rows, screen(20, { NO_COLOR: '1' }))).toEqual([
    'NAME            SIZE',
    `${'x'.repeat(13)}…   1 B`,
  ]);
  expect(tableLines(columns, rows, screen())[1]).toContain('x'.repeat(60));
});

test('a name cannot steer the terminal, nor fake another row', () => {
  const lines = tableLines(columns, [['a\u001B[2Jb\nc\u202Ed', '1 B']], screen());
  expect(lines).toHaveLength(2);
  expect(lines[1]).toMatch(/^a\\u001b\[2Jb c\\u202ed/);
});

test('whatever the cells are, no line is wider than the terminal as long as it can be helped', () => {
  const unit = fc.constantFrom<'grapheme' | 'binary'>('grapheme', 'binary');
  const text = unit.chain((of) => fc.string({ unit: of, maxLength: 40 }));
  fc.assert(
    fc.property(fc.array(fc.tuple(text, fc.constant('9 B')), { maxLength: 5 }), (rows) => {
      const lines = tableLines(columns, rows, screen(24, { NO_COLOR: '1' }));
      expect(lines).toHaveLength(rows.length + 1);
      for (const line of lines) {
        expect(stringWidth(line)).toBeLessThanOrEqual(24);
        expect(line).not.toMatch(/\p{Cc}/u);
      }
    }),
  );
});

test('cut text keeps whole characters', () => {
  expect(cutTo('👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦', 5)).toBe('👩‍👩‍👧‍👦👩‍👩‍👧‍👦…');
});

test.each([
  [true, {}, true],
  [false, {}, false],
  [true, { NO_COLOR: '1' }, false],
  [true, { NO_COLOR: '' }, true],
  [false, { FORCE_COLOR: '1' }, true],
  [false, { FORCE_COLOR: '' }, true],
  [false, { FORCE_COLOR: '0' }, false],
  [true, { TERM: 'dumb' }, false],
  [true, { FORCE_COLOR: '1', NO_COLOR: '1' }, false],
])('colours: a terminal %s with %j: %s', (isTTY, environment, hasColours) => {
  const { style } = screenOn({ write: () => {}, isTTY }, environment);
  expect(style.bad('x') !== 'x').toBe(hasColours);
});
