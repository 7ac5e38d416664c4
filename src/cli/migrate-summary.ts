import { bytesText } from './output/amounts.ts';
import type { MigrationProgress } from '../migration/migration.ts';
import type { Outcome, ReportEntry } from '../migration/migration-report.ts';

const outcomes: Readonly<Record<Outcome, string>> = {
  copied: 'copied',
  there: 'there already',
  'to copy': 'to be copied',
  'left out': 'left out',
  refused: 'refused by Darkroom',
  failed: 'failed',
};

/** What became of the images, for people. @param seconds that it took. */
export function summaryOf(entries: readonly ReportEntry[], seconds: number): string {
  const lines = Object.entries(outcomes).flatMap(([outcome, words]) => {
    const of = entries.filter((entry) => entry.outcome === outcome);
    const bytes = of.reduce((sum, entry) => sum + (entry.bytes ?? 0), 0);
    return of.length === 0 ? [] : [`${words.padEnd(20)} ${of.length}, ${bytesText(bytes)}`];
  });
  const sent = entries.reduce((sum, entry) => sum + entry.bytes_sent, 0);
  const details = entries.flatMap((entry) => {
    const { id, name, outcome, reason, message, notes } = entry;
    const title = `${id}${name === null ? '' : ` ${JSON.stringify(name)}`}`;
    const why =
      message === undefined ? [] : [`${outcome}: ${reason ? `${reason}: ` : ''}${message}`];
    return [...why, ...notes].map((text) => `${title}: ${text}`);
  });
  return [
    ...(lines.length === 0 ? ['There are no such images in Glance.'] : lines),
    `${bytesText(sent)} sent in ${seconds.toFixed(1)} s`,
    ...(details.length === 0 ? [] : ['', ...details]),
    '',
  ].join('\n');
}

/** Whether all that could be copied is in Darkroom. */
export function isComplete(entries: readonly ReportEntry[]): boolean {
  return entries.every(({ outcome }) => outcome !== 'refused' && outcome !== 'failed');
}

/** A line that is written over by the next one. @param seconds since it began. */
export function progressLine(
  { found, done, bytesSent }: MigrationProgress,
  seconds: number,
): string {
  const rate = seconds > 0 ? `, ${bytesText(bytesSent / seconds)}/s` : '';
  return `\r${done} of ${found} images, ${bytesText(bytesSent)} sent${rate}\u001B[K`;
}
