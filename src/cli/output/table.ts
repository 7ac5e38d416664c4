import stringWidth from 'string-width';
import { shownText } from './shown-text.ts';
import type { Screen } from './screen.ts';

/** One cell: its text, and how it is styled once its width is known. */
export interface Cell {
  readonly text: string;
  readonly style?: (text: string) => string;
}

/** A column of a table over rows of a kind. */
export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string | Cell;
  /** Numbers are easier to compare when their ends are below each other. */
  readonly align?: 'right';
  /** Where the table is too wide for a terminal, such columns are cut, but never below so many characters. */
  readonly shrinksTo?: number;
}

const gap = '  ';

/**
 * The lines of a table, its titles first. On a terminal they fit its width as far as columns may shrink; elsewhere nothing is
 * cut. What is in cells shows as it is counted: hidden characters are escaped.
 */
export function tableLines<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  screen: Screen,
): string[] {
  const cells = rows.map((row) => columns.map((column) => cellOf(column.cell(row))));
  const widths = columns.map((column, index) =>
    Math.max(stringWidth(column.title), ...cells.map((row) => stringWidth(row[index]?.text ?? ''))),
  );
  shrink(widths, columns, screen.columns);
  const lineOf = (row: readonly Cell[]): string =>
    columns
      .map((column, index) => {
        const { text, style } = row[index] ?? { text: '' };
        const width = widths[index] ?? 0;
        const cut = cutTo(text, width);
        const blanks = ' '.repeat(width - stringWidth(cut));
        const shown = style && cut !== '' ? style(cut) : cut;
        const isLast = index === columns.length - 1;
        return column.align === 'right' ? blanks + shown : isLast ? shown : shown + blanks;
      })
      .join(gap)
      .trimEnd();
  const titles = columns.map(({ title }) => ({ text: title, style: screen.style.bold }));
  return [titles, ...cells].map(lineOf);
}

function cellOf(cell: string | Cell): Cell {
  return typeof cell === 'string'
    ? { text: shownText(cell) }
    : { ...cell, text: shownText(cell.text) };
}

/** Takes the widest of the columns that may shrink down, until all fit or none can give any more. */
function shrink(
  widths: number[],
  columns: readonly Pick<Column<never>, 'shrinksTo'>[],
  room: number,
): void {
  let over = widths.reduce((sum, width) => sum + width, gap.length * (widths.length - 1)) - room;
  while (over > 0) {
    let widest = -1;
    widths.forEach((width, index) => {
      const least = columns[index]?.shrinksTo;
      if (least !== undefined && width > least && width > (widths[widest] ?? 0)) {
        widest = index;
      }
    });
    if (widest === -1) {
      return;
    }
    widths[widest] = (widths[widest] ?? 0) - 1;
    over -= 1;
  }
}

const segmenter = new Intl.Segmenter();

/** As much of a text as fits, with … where something was left out. */
export function cutTo(text: string, width: number): string {
  if (stringWidth(text) <= width) {
    return text;
  }
  let cut = '';
  let used = 0;
  for (const { segment } of segmenter.segment(text)) {
    const more = stringWidth(segment);
    if (used + more > width - 1) {
      break;
    }
    cut += segment;
    used += more;
  }
  return `${cut}…`;
}
