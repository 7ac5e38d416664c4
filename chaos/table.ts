import type { Journal } from './journal.ts';
import { blows } from './saboteur.ts';

/** One line of the table. */
export interface Row {
  readonly round: string;
  readonly journal: Journal;
  readonly uploads: number;
  readonly bytes: number;
  readonly survived: ReadonlyMap<string, number>;
  readonly ms: number;
}

const head = ['round', ...blows, 'uploads', 'resumes', 'MiB', 's', 'verdict', 'survived faults'];
const widths = head.map((title) => Math.max(6, title.length));

/** The first line. */
export function tableHead(): string {
  return line(head);
}

/** A round, or their sum. */
export function tableRow({ round, journal, uploads, bytes, survived, ms }: Row): string {
  return line([
    round,
    ...blows.map((blow) => String(journal.blows.of(blow))),
    String(uploads),
    String(journal.counts.of('resumes')),
    (bytes / 1024 / 1024).toFixed(1),
    (ms / 1000).toFixed(1),
    journal.violations.length === 0 ? 'ok' : `${journal.violations.length} BAD`,
    describeFaults(survived),
  ]);
}

/** Reasons with their counts, the most frequent first. */
export function describeFaults(survived: ReadonlyMap<string, number>): string {
  return [...survived]
    .toSorted(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${reason} ${count}`)
    .join(', ');
}

function line(cells: readonly string[]): string {
  return cells
    .map((cell, index) =>
      index === cells.length - 1 ? cell : cell.padStart(widths[index] ?? cell.length),
    )
    .join(' ');
}
